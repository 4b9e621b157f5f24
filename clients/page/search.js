// Moments that match a text, best first, as pictures that lead to them.

import { cameraPath } from "/page/api.js";
import { byId, make } from "/page/dom.js";
import { hrefOf } from "/page/route.js";
import { clock } from "/page/time.js";

const MOST = 12;

export class Search {
  constructor(state, api) {
    Object.assign(this, { state, api });
    this.form = byId("search");
    this.field = byId("search-text");
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.find(); });
    this.field.addEventListener("input", () => { if (!this.field.value) this.clear(); }); // the field's own cross
    state.on("place", ({ moved }) => { if (moved) { this.field.value = ""; this.clear(); } });
    state.on("access", () => this.allow());
    state.on("link", () => this.allow());
    this.allow();
  }

  allow() {
    this.form.hidden = !this.api.offers("/api/cameras/{camera_id}/search") || !this.state.may("ask");
  }

  clear() {
    this.stop?.abort();
    byId("matches").replaceChildren();
    byId("matches-note").textContent = "";
  }

  async find() {
    const text = this.field.value.trim();
    const { camera } = this.state;
    this.clear();
    if (!text) return;
    const stop = this.stop = new AbortController();
    byId("matches-note").textContent = "Looking…";
    try {
      const query = new URLSearchParams({ text, limit: MOST });
      const { matches } = await this.api.get(cameraPath(camera, `/search?${query}`), { signal: stop.signal });
      if (stop.signal.aborted) return;
      byId("matches").replaceChildren(...matches.map((match) => this.match(camera, match)));
      byId("matches-note").textContent = matches.length ? "" : `Nothing in memory looks or sounds like “${text}”.`;
    } catch (problem) {
      if (problem.name !== "AbortError") byId("matches-note").textContent = problem.message;
    }
  }

  match(camera, { start, end, score, frame_url, heard }) {
    const middle = (start + end) / 2;
    const image = make("img", { alt: "", loading: "lazy", src: frame_url });
    return make("li", {}, make("a", { href: hrefOf(camera, middle), title: heard ?? "" }, image, make("time", { textContent: clock(middle) }),
      make("small", { textContent: heard ? "said" : `${Math.round(score * 100)} %` }), heard ? make("q", { textContent: heard }) : null));
  }
}
