// What the page knows, and who is told when it changes. Events: cameras, place, link, access; from the server status, alert,
// caption; `open`, an alert that was going on already; `chosen`, the rules of the camera that is shown.

export class State extends EventTarget {
  cameras = new Map(); // id -> the camera as /api/cameras describes it
  leaving = new Set(); // cameras that are being removed: they must not be asked for pictures any more
  loaded = false; // the list of cameras has come at least once
  camera = null; // the camera that is shown; null: the wall
  moment = null; // the second that is looked at; null: live
  link = { state: "connecting", text: "Connecting…" }; // connecting, loading, ready, lost, refused
  access = { auth: false, name: null, scopes: ["watch", "ask", "admin"] };

  // Calls `listener(detail)` on every event of that name; the returned function ends that.
  on(name, listener) {
    const call = (event) => listener(event.detail);
    this.addEventListener(name, call);
    return () => this.removeEventListener(name, call);
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  get shown() {
    return this.cameras.get(this.camera) ?? null;
  }

  // The cameras' names, sorted.
  get names() {
    return [...this.cameras.keys()].sort((a, b) => a.localeCompare(b));
  }

  may(scope) {
    return !this.access.auth || (this.access.scopes ?? []).includes(scope);
  }

  setCameras(list) {
    this.cameras = new Map(list.map((camera) => [camera.id, camera]));
    this.loaded = true;
    this.tell("cameras");
  }

  setStatus({ camera, state, reason }) {
    const known = this.cameras.get(camera);
    if (!known || (known.state === state && known.reason === reason)) return;
    Object.assign(known, { state, reason });
    this.tell("cameras");
  }

  setLink(state, text) {
    const before = this.link.state;
    if (before === state && this.link.text === text) return;
    this.link = { state, text };
    this.tell("link", { before });
  }

  setAccess(access) {
    this.access = access;
    this.tell("access");
  }

  // Shows a camera (null: the wall) at a second (null: live).
  setPlace(camera, moment) {
    if (camera === this.camera && moment === this.moment) return;
    const moved = camera !== this.camera;
    this.camera = camera;
    this.moment = moment;
    this.tell("place", { moved });
  }
}

export const STATES = {
  connecting: "connecting", live: "live", stalled: "no picture", reconnecting: "reconnecting", ended: "ended", failed: "failed",
};
