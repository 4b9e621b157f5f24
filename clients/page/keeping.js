// A stretch of a camera's past: taken home as a ZIP file, or forgotten for good.

import { cameraPath } from "/page/api.js";
import { byId } from "/page/dom.js";
import { lasting } from "/page/time.js";

const AHEAD_S = 5; // what is seen while one reads the question is meant, too

export class Keeping {
  constructor(state, api, { forgotten }) {
    Object.assign(this, { state, api, forgotten });
    byId("stretch").addEventListener("change", () => { this.ask(false); this.show(); });
    byId("forget").addEventListener("click", () => this.ask(true));
    byId("forget-no").addEventListener("click", () => { this.ask(false); byId("forget").focus(); });
    byId("forget-yes").addEventListener("click", () => this.forget());
    state.on("place", ({ moved }) => { if (moved) { this.ask(false); byId("forget-said").textContent = ""; } this.show(); });
    state.on("access", () => this.show());
  }

  use(past) {
    this.past = past;
    this.show();
  }

  // The stretch that is chosen, as [from, to]; null while nothing is remembered.
  get stretch() {
    const { past } = this;
    if (past?.newest == null) return null;
    const to = past.newest + AHEAD_S;
    const choice = byId("stretch").value;
    if (choice === "all") return [0, to];
    if (choice !== "scene") return [Math.max(0, past.newest - Number(choice)), to];
    const scene = past.sceneAt(this.state.moment ?? past.newest);
    return scene ? [scene.start, scene.end] : null;
  }

  show() {
    const { camera } = this.state;
    if (camera === null) return;
    byId("keeping").hidden = !this.api.offers("/api/cameras/{camera_id}/export");
    const { stretch } = this;
    const link = byId("export");
    if (stretch) link.href = cameraPath(camera, `/export?from=${stretch[0].toFixed(3)}&to=${stretch[1].toFixed(3)}`);
    else link.removeAttribute("href");
    byId("forget").disabled = !stretch || !this.state.may("admin");
  }

  ask(sure) {
    byId("forget-sure").hidden = !sure;
    byId("forget").hidden = sure;
    if (sure) byId("forget-no").focus();
  }

  async forget() {
    const { stretch } = this;
    const { camera } = this.state;
    if (!stretch) return;
    try {
      const gone = await this.api.send("DELETE", cameraPath(camera, `/memory?from=${stretch[0].toFixed(3)}&to=${stretch[1].toFixed(3)}`));
      byId("forget-said").textContent = `Forgotten: ${lasting(gone.forgotten_s)}, with ${gone.pictures.toLocaleString()} pictures.`;
      this.forgotten();
    } catch (problem) {
      byId("forget-said").textContent = problem.message;
    }
    this.ask(false);
  }
}
