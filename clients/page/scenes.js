// What happened, as a list below the timeline: scenes, alerts and what was said, the newest first.

import { byId, icon, make, refill } from "/page/dom.js";
import { hrefOf } from "/page/route.js";
import { clock, lasting } from "/page/time.js";

const MOST = 150; // rows; the timeline has the rest

export class Scenes {
  constructor(state) {
    this.state = state;
    this.list = byId("scenes");
    this.kind = "all";
    for (const choice of byId("kinds").querySelectorAll("input")) {
      choice.addEventListener("change", () => { this.kind = choice.value; this.show(); });
    }
    state.on("place", () => this.mark());
  }

  use(past) {
    this.past = past;
    this.show();
  }

  show() {
    const { past } = this;
    const rows = past ? this.rows().sort((a, b) => b.start - a.start).slice(0, MOST) : [];
    const key = JSON.stringify([past?.camera, this.kind, rows]);
    refill(this.list, key, () => rows.map((row) => this.row(row)));
    const empty = { all: "Nothing yet.", scene: "No scene is told yet.", alert: "No rule of this camera has fired.", said: "Nothing was said, or captions are off for this camera." };
    byId("scenes-note").hidden = rows.length > 0;
    byId("scenes-note").textContent = past?.state === "loading" ? "Loading…" : past?.state === "failed" ? past.problem : empty[this.kind];
    this.mark();
  }

  rows() {
    const { spans, events, cues, chapters } = this.past;
    const wanted = (kind) => this.kind === "all" || this.kind === kind;
    return [
      ...(wanted("scene") ? spans.slice(-MOST).map(({ start, end, caption, motion }) => ({ kind: "scene", start, end, text: caption || "–", motion })) : []),
      ...(wanted("alert") ? [...events.values()].map(({ start, end, rule, text, verified }) => ({ kind: "alert", start, end, text: `${rule}: ${text}`, withdrawn: verified === false })) : []),
      ...(wanted("said") ? chapters.map(({ start, end, title }) => ({ kind: "chapter", start, end, text: title })) : []),
      ...(wanted("said") ? cues.slice(-MOST).map(({ start, end, text }) => ({ kind: "said", start, end, text: `“${text}”` })) : []),
    ];
  }

  row({ kind, start, end, text, motion, withdrawn }) {
    const seconds = kind === "scene" ? (start + end) / 2 : start;
    const link = make("a", { className: "scene", href: hrefOf(this.past.camera, seconds), data: { key: `${kind} ${start}`, start, end: end ?? "" }, title: end === null ? "" : `lasted ${lasting(end - start)}` },
      make("time", { textContent: clock(start, true) }),
      make("span", { className: `scene-kind kind-${kind}` }, icon({ scene: "scene", alert: "bell", said: "said", chapter: "chapter" }[kind])),
      make("span", { className: withdrawn ? "withdrawn" : "", textContent: text }));
    if (kind === "scene") link.append(make("meter", { min: 0, max: 1, value: Math.sqrt(motion), title: `Motion ${Math.round(motion * 100)} %`, aria: { label: "Motion" } }));
    return make("li", {}, link);
  }

  // The scene that is looked at.
  mark() {
    const { moment } = this.state;
    for (const link of this.list.querySelectorAll("a")) {
      const now = moment !== null && Number(link.dataset.start) <= moment && moment < Number(link.dataset.end || Infinity);
      if (now) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }
}
