// Pictures of the past into one <img>: the newest wish wins, one is loaded at a time, and none flickers.

export class Frames {
  // `missing(true)` when a picture is not kept, `missing(false)` when one is shown.
  constructor(picture, missing = () => {}) {
    this.picture = picture;
    this.missing = missing;
    this.wish = null;
    this.busy = false;
  }

  async want(url) {
    this.wish = url;
    if (this.busy) return;
    this.busy = true;
    while (this.wish !== null && this.wish !== this.shown) {
      const next = this.wish;
      const image = new Image();
      image.src = next;
      const there = await image.decode().then(() => true, () => false);
      if (this.wish === null) break;
      this.shown = next;
      if (there) this.picture.src = next;
      this.missing(!there);
    }
    this.busy = false;
  }

  forget() {
    this.wish = this.shown = null;
    this.picture.removeAttribute("src");
  }
}
