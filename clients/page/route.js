// Where the page is, in its address: #/ the wall, #/front a camera, #/front/1764000000.5 what it showed then.

export function hrefOf(camera, moment = null) {
  if (camera === null) return "#/";
  return `#/${encodeURIComponent(camera)}${moment === null ? "" : `/${Number(moment.toFixed(3))}`}`;
}

function read(hash) {
  const [name, second] = hash.replace(/^#\/?/, "").split("/");
  let camera = null;
  try {
    camera = name ? decodeURIComponent(name) : null;
  } catch { /* not one of our addresses: the wall */ }
  const moment = second && Number.isFinite(Number(second)) ? Number(second) : null;
  return { camera, moment };
}

export class Route {
  constructor(state) {
    this.state = state;
    this.opened = location.hash.length > 2; // somebody came by a link to one camera
    addEventListener("hashchange", () => this.follow());
    state.on("cameras", () => this.settle());
  }

  follow() {
    const { camera, moment } = read(location.hash);
    if (camera !== null && this.state.loaded && !this.state.cameras.has(camera)) this.go(null);
    else this.state.setPlace(camera, camera === null ? null : moment);
  }

  // With one camera there is nothing to choose from; a camera that is gone is not shown.
  settle() {
    const { cameras } = this.state;
    if (this.state.camera !== null && !cameras.has(this.state.camera)) this.go(null);
    else if (!this.settled) {
      if (!this.opened && cameras.size === 1) this.go([...cameras.keys()][0]);
      else this.follow();
    }
    this.settled = true;
  }

  // Goes there; the browser's way back leads to where one was.
  go(camera, moment = null) {
    history.pushState(null, "", hrefOf(camera, moment));
    this.state.setPlace(camera, moment);
  }

  // The same without a step of its own in the browser's history: dragging along the timeline makes hundreds.
  slide(moment) {
    history.replaceState(null, "", hrefOf(this.state.camera, moment));
    this.state.setPlace(this.state.camera, moment);
  }
}
