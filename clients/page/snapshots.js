// A live picture out of JPEG snapshots: one a second, the next only when the last has come, none while nobody looks.

import { cameraPath } from "/page/api.js";

const PERIOD_MS = 1000;

export class Snapshots {
  // `wanted()` says whether there can be a picture now; `came()` is called after each.
  constructor(picture, camera, { wanted, came = () => {} }) {
    this.picture = picture;
    this.camera = camera;
    this.wanted = wanted;
    this.came = came;
    this.on = null;
  }

  start() {
    if (this.on) return;
    this.on = {}; // a new one each time, so that a beat that was stopped while it waited knows it
    this.beat(this.on);
  }

  stop() {
    this.on = null;
    clearTimeout(this.timer);
  }

  // There may be a picture now: the one that was not to be had is not waited for until the next beat.
  nudge() {
    if (!this.on || !this.idle || !this.wanted()) return;
    clearTimeout(this.timer);
    this.beat(this.on);
  }

  async beat(mine) {
    const begun = performance.now();
    this.idle = document.hidden || !this.wanted();
    if (!this.idle) await this.fetch();
    if (this.on === mine) this.timer = setTimeout(() => this.beat(mine), Math.max(100, PERIOD_MS - (performance.now() - begun)));
  }

  async fetch() {
    let url;
    try {
      const answer = await fetch(cameraPath(this.camera, "/frames/latest.jpg"));
      if (!answer.ok || !this.on) return;
      url = URL.createObjectURL(await answer.blob());
      const next = new Image();
      next.src = url;
      await next.decode(); // shown only when it can be shown at once: nothing flickers
    } catch {
      if (url) URL.revokeObjectURL(url);
      return; // the link says that the server is gone
    }
    if (!this.on) { URL.revokeObjectURL(url); return; }
    const old = this.picture.src;
    this.picture.src = url;
    if (old.startsWith("blob:")) URL.revokeObjectURL(old);
    this.came();
  }
}
