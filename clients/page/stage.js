// The picture of one camera: live as video or as snapshots, or what it showed at a second of the past.

import { framePath } from "/page/api.js";
import { byId, make } from "/page/dom.js";
import { Frames } from "/page/frames.js";
import { Player } from "/page/player.js";
import { Snapshots } from "/page/snapshots.js";
import { clock } from "/page/time.js";

const TROUBLE = {
  connecting: "Connecting to the camera…",
  stalled: "No new picture for a while",
  reconnecting: "The camera is away, trying again…",
  ended: "The video has ended",
  failed: "This camera failed",
};

export class Stage {
  constructor(state, api, route) {
    Object.assign(this, { state, api, route });
    this.box = byId("stage");
    this.picture = byId("picture");
    this.past = byId("past");
    this.note = byId("stage-note");
    this.frames = new Frames(this.past, (missing) => { this.gone = missing; this.show(); });
    this.player = new Player(byId("video"), api, (moving) => { this.moving = moving; this.show(); });
    byId("to-live").addEventListener("click", () => { route.slide(null); byId("track").focus({ preventScroll: true }); });
    byId("full").addEventListener("click", () => this.toggleFull());
    byId("full").hidden = !document.fullscreenEnabled;
    document.addEventListener("fullscreenchange", () => byId("full").setAttribute("aria-pressed", String(Boolean(document.fullscreenElement))));
    state.on("place", ({ moved }) => this.go(moved));
    state.on("cameras", () => this.show());
    state.on("link", () => this.show());
  }

  go(moved) {
    if (moved) this.change();
    const { camera, moment } = this.state;
    if (moment !== null) {
      if (this.box.dataset.time !== "past") this.past.hidden = true; // until the picture of that second has come
      this.frames.want(framePath(camera, moment));
    } else {
      this.gone = false;
      this.frames.forget();
    }
    this.show();
  }

  change() {
    const { camera } = this.state;
    this.snapshots?.stop();
    this.player.stop();
    this.snapshots = null;
    this.seen = this.gone = false;
    this.frames.forget();
    this.picture.removeAttribute("src");
    if (camera === null) return;
    this.snapshots = new Snapshots(this.picture, camera, {
      wanted: () => this.state.moment === null && !this.moving && hasPicture(this.state),
      came: () => { if (!this.seen) { this.seen = true; this.show(); } },
    });
    this.snapshots.start();
  }

  show() {
    const { camera, moment, shown, link } = this.state;
    if (camera === null) return;
    this.snapshots?.nudge();
    if (shown?.state === "live" && link.state === "ready") this.player.start(camera);
    const past = moment !== null;
    const there = past ? this.frames.shown && !this.gone : this.moving || this.seen;
    this.box.dataset.time = past ? "past" : "live";
    this.box.dataset.empty = String(!there);
    byId("video").hidden = past || !this.moving;
    this.picture.hidden = past || this.moving || !this.seen;
    this.past.hidden = !past || this.gone || !this.frames.shown;
    this.picture.alt = `Live picture of ${camera}`;
    if (past) this.past.alt = `Picture of ${camera} at ${clock(moment)}`;
    const badge = byId("stage-badge");
    badge.textContent = past ? "Past" : shown?.state === "live" && link.state !== "lost" ? "Live" : "Not live";
    badge.dataset.kind = past ? "past" : badge.textContent === "Live" ? "live" : "off";
    byId("stage-name").textContent = camera;
    byId("stage-facts").textContent = past ? clock(moment) : link.state === "lost" ? "" : this.moving ? "video" : this.seen ? "one picture a second" : "";
    byId("to-live").hidden = !past;
    this.explain(this.words(past, Boolean(there)), Boolean(there));
  }

  // What to say instead of, or over, the picture.
  words(past, there) {
    const { link, shown } = this.state;
    if (past) return this.gone ? ["No picture is kept from this moment."] : [];
    if (link.state === "lost") return [there ? "Not live: no connection" : "No connection to the server."];
    if (!shown) return [];
    if (shown.state !== "live") return [TROUBLE[shown.state] ?? shown.state, !there && shown.reason].filter(Boolean);
    return there ? [] : ["Waiting for the first picture…"];
  }

  explain(lines, over) {
    const key = `${over} ${lines.join("\n")}`;
    if (this.note.dataset.key === key) return;
    this.note.dataset.key = key;
    this.note.dataset.over = String(over);
    this.note.hidden = !lines.length;
    this.note.replaceChildren(...lines.map((line) => make("p", { textContent: line })));
  }

  toggleFull() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.box.requestFullscreen();
  }
}

// Asking for a picture that cannot be there would only fill the browser's list of failed requests.
export function hasPicture({ shown, link, leaving }, camera = shown) {
  return ["ready", "loading"].includes(link.state) && Boolean(camera) && !leaving.has(camera.id) && (camera.frames > 0 || camera.watched_s > 0);
}
