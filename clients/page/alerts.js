// The feed of alerts, of one camera or of all, with their pictures; the switch that pauses them; and a note when one comes.

import { cameraPath } from "/page/api.js";
import { byId, make, refill } from "/page/dom.js";
import { hrefOf } from "/page/route.js";
import { clock, lasting } from "/page/time.js";

const MOST = 60;
const FIRST = 30; // events of each camera to begin with
const NOTE_MS = 9000;

export class Alerts {
  constructor(state, api, { chosen }) {
    Object.assign(this, { state, api, chosen });
    this.events = new Map(); // id -> event
    this.fresh = 0; // come since the feed was looked at
    this.read = new Set(); // cameras whose events were read
    this.switch = byId("pause");
    this.switch.addEventListener("click", () => this.pause());
    state.on("alert", (event) => this.take(event));
    state.on("place", ({ moved }) => { if (moved) { this.show(); this.readSwitch(); } });
    state.on("cameras", () => this.readNew());
    state.on("link", ({ before }) => { if (state.link.state === "ready" && before !== "ready") this.readAll(); });
    byId("note-close").addEventListener("click", () => { byId("note").hidden = true; });
    this.show();
  }

  // What came while the page was not connected is in the journal.
  readAll() {
    this.read.clear();
    this.readNew();
    this.readSwitch();
  }

  async readNew() {
    const names = this.state.names.filter((name) => !this.read.has(name));
    if (!names.length) return;
    for (const name of names) this.read.add(name);
    await Promise.all(names.map((name) => this.readEvents(name)));
    this.loaded = true;
    this.show();
  }

  async readEvents(camera) {
    try {
      const { events } = await this.api.get(cameraPath(camera, `/events?limit=${FIRST}`));
      for (const event of events) {
        this.events.set(event.id, { ...event, camera });
        if (event.end === null) this.state.tell("open", { ...event, camera });
      }
      this.problem = "";
    } catch (problem) {
      this.problem = problem.message;
    }
  }

  take(message) {
    const known = this.events.get(message.id);
    this.events.set(message.id, { ...known, ...message, frame_urls: [message.frame_url, ...(known?.frame_urls ?? []).filter((url) => url !== message.frame_url)] });
    if (message.type === "alert.new") this.announce(message);
    this.show();
  }

  announce(event) {
    if (!this.looking) this.fresh += 1;
    byId("note").hidden = false;
    byId("note-link").href = hrefOf(event.camera, event.start);
    byId("note-picture").src = event.frame_url;
    byId("note-title").textContent = `${event.camera}: ${event.rule}`;
    byId("note-text").textContent = event.text;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { byId("note").hidden = true; }, NOTE_MS);
  }

  // Whether the feed is what is shown in the panel.
  set looked(looking) {
    this.looking = looking;
    if (looking) this.fresh = 0;
    this.show();
  }

  show() {
    const { camera } = this.state;
    const events = [...this.events.values()].filter((event) => camera === null || event.camera === camera).sort((a, b) => b.start - a.start).slice(0, MOST);
    refill(byId("alert-list"), JSON.stringify([camera, events]), () => events.map((event) => this.card(event)));
    byId("alert-none").hidden = events.length > 0;
    byId("alert-none-words").textContent = this.problem || (!this.loaded && this.state.names.length ? "Loading…" : camera === null ? "No rule has fired on any camera." : `No rule of ${camera} has fired.`);
    byId("alert-badge").hidden = !this.fresh;
    byId("alert-badge").textContent = this.fresh ? `${this.fresh} new` : "";
    document.title = `${this.fresh ? `(${this.fresh}) ` : ""}${camera ?? "Cameras"} · LLaMA-VID Live`;
    byId("pause-row").hidden = camera === null || !this.rules?.length;
  }

  card(event) {
    const best = event.frame_urls?.[0] ?? event.frame_url;
    const image = make("img", { alt: "", loading: "lazy", src: best ?? "" });
    image.addEventListener("error", () => image.remove());
    const state = event.verified === false ? "taken back" : event.end === null ? "going on" : event.verified ? "confirmed" : "";
    const facts = [clock(event.start), event.end === null ? "" : `for ${lasting(Math.max(1, event.end - event.start))}`, `${Math.round(event.score * 100)} %`].filter(Boolean);
    const card = make("article", { className: "alert-card", data: { verified: String(event.verified), open: String(event.end === null) } },
      make("a", { href: hrefOf(event.camera, event.start), data: { key: event.id } },
        make("span", { className: "alert-picture" }, image),
        make("span", { className: "alert-words" },
          make("span", { className: "alert-title" }, make("strong", { textContent: event.rule }), state ? make("span", { className: "tag", textContent: state }) : null),
          make("span", { textContent: event.text }),
          make("small", { textContent: [this.state.camera === null ? event.camera : "", ...facts].filter(Boolean).join(" · ") }))));
    if (event.before_url) {
      const before = /frames\/([\d.]+)\.jpg/.exec(event.before_url);
      if (before) card.append(make("a", { className: "before", href: hrefOf(event.camera, Number(before[1])), textContent: "Just before", title: "What the camera showed just before" }));
    }
    return make("li", {}, card);
  }

  async readSwitch() {
    const { camera } = this.state;
    this.rules = null;
    if (camera === null) { this.show(); this.chosen([]); return; }
    try {
      const alerting = await this.api.get(cameraPath(camera, "/alerts"));
      if (camera === this.state.camera) this.use(alerting);
    } catch { /* the list says what is wrong */ }
  }

  use({ rules, paused }) {
    this.rules = rules;
    this.switch.setAttribute("aria-checked", String(!paused));
    byId("pause-words").textContent = paused ? "Alerts are paused" : "Alerts are on";
    byId("pause-problem").textContent = "";
    this.switch.disabled = !this.state.may("admin");
    this.show();
    this.chosen(rules);
  }

  async pause() {
    const { camera } = this.state;
    const paused = this.switch.getAttribute("aria-checked") === "true";
    try {
      this.use(await this.api.send("PUT", cameraPath(camera, "/alerts"), { paused }));
    } catch (problem) {
      byId("pause-problem").textContent = problem.message;
    }
  }
}

