// The timeline: shows the past, and is scrubbed by pointer and by keyboard. The frame at the pointer is shown above it.

import { framePath } from "/page/api.js";
import { byId, draw } from "/page/dom.js";
import { Frames } from "/page/frames.js";
import { HEIGHT, drawLanes } from "/page/lanes.js";
import { clock } from "/page/time.js";

const LIVE_PX = 8; // so near to the right end means live
const PREVIEW_PX = 192;

export class Timeline {
  constructor(state, route) {
    Object.assign(this, { state, route });
    this.track = byId("track");
    this.lanes = draw("svg", { class: "lanes", height: HEIGHT, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.track.prepend(this.lanes);
    this.labels = { alerts: byId("lane-alerts"), said: byId("lane-said") };
    this.preview = byId("preview");
    this.frames = new Frames(byId("preview-picture"), (missing) => { byId("preview-picture").hidden = missing; });
    this.range = 3600;
    this.edge = null; // the window's right end where it does not follow the newest second
    this.past = null;
    new ResizeObserver(() => this.show()).observe(this.track);
    for (const choice of byId("ranges").querySelectorAll("input")) {
      choice.addEventListener("change", () => this.choose(choice.value === "all" ? Infinity : Number(choice.value)));
    }
    byId("earlier").addEventListener("click", () => this.shift(-0.8));
    byId("later").addEventListener("click", () => this.shift(0.8));
    this.track.addEventListener("pointerdown", (event) => this.press(event));
    this.track.addEventListener("pointermove", (event) => this.hover(event));
    this.track.addEventListener("pointerleave", () => this.leave());
    this.track.addEventListener("keydown", (event) => this.key(event));
    state.on("place", () => this.place());
  }

  // Another camera's past, or more of the same.
  use(past) {
    if (past !== this.past) this.edge = null;
    this.past = past;
    this.place();
  }

  get window() {
    const { oldest, newest } = this.past;
    const to = this.edge ?? newest;
    const from = Math.max(to - this.range, Math.min(oldest, to - 1));
    return { from, to };
  }

  choose(range) {
    this.range = range;
    if (this.past?.newest === null || !this.past) return;
    const { moment } = this.state;
    this.edge = moment === null || range === Infinity ? null : Math.min(this.past.newest, moment + range / 2);
    if (this.edge === this.past.newest) this.edge = null;
    const seconds = range === Infinity ? -Infinity : this.window.to - range;
    this.past.reach(seconds).catch(() => {}); // the scenes that are there stay
    this.show();
  }

  shift(share) {
    const { from, to } = this.window;
    const width = to - from;
    const edge = Math.max(this.past.oldest + width / 5, to + share * width);
    this.edge = edge >= this.past.newest ? null : edge;
    this.past.reach(edge - this.range).catch(() => {});
    this.show();
  }

  // Follows what is looked at: the window moves when the second lies outside of it.
  place() {
    const { moment } = this.state;
    if (this.past?.newest != null) {
      if (moment === null) this.edge = null;
      else {
        const { from, to } = this.window;
        if (moment < from || moment > to) this.edge = Math.min(this.past.newest, moment + Math.min(this.range, to - from) / 2);
      }
    }
    this.show();
  }

  show() {
    const { past, track } = this;
    const width = track.clientWidth;
    const ready = past?.newest != null;
    byId("timeline").dataset.state = ready ? "ready" : past?.state ?? "loading";
    byId("timeline-note").textContent = ready ? "" : past?.state === "failed" ? past.problem : past?.state === "ready" ? "Nothing remembered yet. What happens is drawn here." : "Loading…";
    track.setAttribute("aria-disabled", String(!ready));
    for (const name of ["earlier", "later"]) byId(name).disabled = true;
    if (!ready || !width) { this.lanes.replaceChildren(); byId("playhead").hidden = true; return; }
    const { from, to } = this.window;
    drawLanes(this.lanes, past, { from, to, width, labels: this.labels });
    byId("earlier").disabled = from <= past.oldest && !past.older;
    byId("later").disabled = this.edge === null;
    const { moment } = this.state;
    const at = moment ?? to;
    byId("playhead").hidden = at < from || at > to;
    byId("playhead").style.left = `${((at - from) / (to - from)) * width}px`;
    byId("playhead").dataset.live = String(moment === null);
    const scene = past.sceneAt(at)?.caption;
    track.setAttribute("aria-valuemin", from.toFixed(0));
    track.setAttribute("aria-valuemax", to.toFixed(0));
    track.setAttribute("aria-valuenow", Math.min(to, Math.max(from, at)).toFixed(0));
    track.setAttribute("aria-valuetext", moment === null ? "Live" : `${clock(moment)}${scene ? `, ${scene}` : ""}`);
  }

  secondAt(event) {
    const { left, width } = this.track.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - left) / width));
    const { from, to } = this.window;
    return { seconds: from + share * (to - from), x: share * width, width, live: this.edge === null && (1 - share) * width < LIVE_PX };
  }

  press(event) {
    if (this.past?.newest == null || event.button !== 0) return;
    this.track.setPointerCapture(event.pointerId);
    this.track.focus({ preventScroll: true });
    event.preventDefault();
    const { seconds, live } = this.secondAt(event);
    this.seek(live ? null : seconds);
  }

  hover(event) {
    if (this.past?.newest == null) return;
    const { seconds, x, width, live } = this.secondAt(event);
    if (event.buttons & 1 && this.track.hasPointerCapture(event.pointerId)) this.seek(live ? null : seconds);
    const half = Math.min(PREVIEW_PX, width) / 2;
    this.preview.hidden = false;
    this.preview.style.left = `${Math.min(width - half, Math.max(half, x))}px`;
    byId("hairline").hidden = false;
    byId("hairline").style.left = `${x}px`;
    byId("preview-time").textContent = clock(seconds);
    byId("preview-scene").textContent = this.past.saidAt(seconds) || this.past.sceneAt(seconds)?.caption || "";
    this.frames.want(framePath(this.state.camera, Math.round(seconds)));
  }

  leave() {
    this.preview.hidden = byId("hairline").hidden = true;
    this.frames.wish = null;
  }

  seek(seconds) {
    const { oldest, newest } = this.past;
    this.route.slide(seconds === null ? null : Math.min(newest, Math.max(oldest, seconds)));
  }

  key(event) {
    const step = this.steps(event)[event.key];
    if (step === undefined || this.past?.newest == null || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const at = step();
    this.seek(at === null || at >= this.past.newest ? null : at);
  }

  // What the keys lead to: a second, or null for live.
  steps({ shiftKey }) {
    const { spans, newest, oldest } = this.past ?? { spans: [] };
    const now = this.state.moment ?? newest;
    const { from, to } = newest == null ? { from: 0, to: 0 } : this.window;
    const stride = shiftKey ? 1 : Math.max(1, (to - from) / 60);
    const back = () => now - stride;
    const on = () => (this.state.moment === null ? null : now + stride);
    return {
      ArrowLeft: back, ArrowDown: back, ArrowRight: on, ArrowUp: on,
      PageUp: () => spans.findLast((span) => span.start < now - 0.5)?.start ?? oldest,
      PageDown: () => spans.find((span) => span.start > now + 0.5)?.start ?? null,
      Home: () => oldest, End: () => null,
    };
  }
}
