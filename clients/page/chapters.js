// The chapters of what was said, as a row of links below the timeline; the one that is looked at is marked.

import { byId, make, refill } from "/page/dom.js";
import { hrefOf } from "/page/route.js";
import { clock } from "/page/time.js";

export class Chapters {
  constructor(state) {
    this.state = state;
    state.on("place", () => this.mark());
  }

  use(past) {
    const chapters = past?.chapters ?? [];
    byId("chapters").hidden = !chapters.length;
    refill(byId("chapters"), JSON.stringify([past?.camera, chapters]), () => chapters.map(({ start, end, title, text }) => make("li", {},
      make("a", { href: hrefOf(past.camera, start), title: text, data: { key: `chapter ${start}`, start, end } }, make("time", { textContent: clock(start, true) }), title))));
    this.mark();
  }

  mark() {
    const { moment } = this.state;
    for (const link of byId("chapters").querySelectorAll("a")) {
      const now = moment !== null && Number(link.dataset.start) <= moment && moment < Number(link.dataset.end);
      if (now) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }
}
