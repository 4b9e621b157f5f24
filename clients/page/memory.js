// The memory meter: how far back a camera remembers, in how many tokens; and what else is known of it.

import { cameraPath } from "/page/api.js";
import { byId, make, refill } from "/page/dom.js";
import { STATES } from "/page/state.js";
import { lasting } from "/page/time.js";

export class Memory {
  constructor(state, api, { leave, removed }) {
    Object.assign(this, { state, api, leave, removed });
    for (const name of ["cameras", "place", "link", "access"]) state.on(name, () => this.show());
    byId("remove").addEventListener("click", () => this.ask(true));
    byId("remove-no").addEventListener("click", () => { this.ask(false); byId("remove").focus(); });
    byId("remove-yes").addEventListener("click", () => this.remove());
    state.on("place", ({ moved }) => { if (moved) this.ask(false); });
  }

  show() {
    const { shown } = this.state;
    if (!shown) return;
    const { tokens, memory, watched_s } = shown;
    const room = memory.room || 0;
    const share = room ? Math.min(1, memory.tokens / room) : 0;
    const back = watched_s >= 1 ? lasting(watched_s) : "nothing yet";
    const used = room ? `${memory.tokens.toLocaleString()} of ${room.toLocaleString()} tokens` : `${memory.tokens.toLocaleString()} tokens`;
    for (const meter of document.querySelectorAll(".memory-bar")) {
      meter.value = share;
      meter.hidden = !room;
      meter.setAttribute("aria-valuetext", used);
    }
    byId("memory-short").textContent = `Remembers ${back}`;
    byId("memory-back").textContent = back;
    byId("memory-used").textContent = used;
    byId("memory-words").textContent = watched_s < 1
      ? "As soon as pictures come, each becomes two tokens here."
      : `${tokens.frames.toLocaleString()} pictures were watched, ${tokens.per_frame} tokens for each that brought something new. ${share > 0.98 ? "Memory is full: what is older is kept in fewer tokens, and in full on disk." : "When it is full, what is older is kept in fewer tokens, and in full on disk."}`;
    this.facts(shown);
    byId("remove").disabled = byId("remove-yes").disabled = !this.state.may("admin");
  }

  facts(camera) {
    const facts = [
      ["State", [STATES[camera.state] ?? camera.state, camera.reason].filter(Boolean).join(": ")],
      ["Address", camera.url],
      ["Looked at", `${camera.fps === 1 ? "once" : `${camera.fps} times`} a second`],
      ["Told to watch for", camera.watch_for],
      ["Pictures", `${camera.frames.toLocaleString()} since it was opened${camera.dropped ? `, ${camera.dropped.toLocaleString()} left out` : ""}`],
      ["Reconnects", camera.reconnects ? camera.reconnects.toLocaleString() : ""],
      ["From before", camera.memory.restored],
      ["Cache", camera.memory.cached_bytes ? `${(camera.memory.cached_bytes / 1e6).toFixed(1)} MB` : ""],
      ...camera.warnings.slice(-3).map((text) => ["Note", text]),
    ].filter(([, value]) => value);
    refill(byId("facts"), JSON.stringify(facts), () => facts.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
  }

  ask(sure) {
    byId("remove").hidden = sure;
    byId("remove-sure").hidden = !sure;
    byId("remove-problem").textContent = "";
    if (sure) byId("remove-no").focus();
  }

  async remove() {
    const { camera } = this.state;
    this.state.leaving.add(camera);
    this.leave(null);
    try {
      await this.api.send("DELETE", cameraPath(camera));
      await this.removed();
    } catch (problem) {
      this.leave(camera);
      byId("remove-problem").textContent = problem.message;
    } finally {
      this.state.leaving.delete(camera);
    }
  }
}
