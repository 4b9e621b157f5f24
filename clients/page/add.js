// Adding a camera: this computer's webcam or screen in two clicks, or an address. What is wrong is said at the field.

import { byId } from "/page/dom.js";

export class Add {
  constructor(state, api, publishers, { added }) {
    Object.assign(this, { state, api, publishers, added });
    this.dialog = byId("add");
    this.form = byId("add-form");
    byId("add-open").addEventListener("click", () => this.open());
    byId("add-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.submit(); });
    this.form.addEventListener("input", () => this.form.elements.url.value.trim() === "" || this.clear());
    for (const kind of ["webcam", "screen"]) {
      for (const button of document.querySelectorAll(`[data-publish="${kind}"]`)) button.addEventListener("click", () => this.toggle(kind));
    }
    for (const kind of ["webcam", "screen"]) byId(`stop-${kind}`).addEventListener("click", () => publishers[kind].stop());
    state.on("access", () => this.show());
    this.show();
  }

  open() {
    this.clear();
    this.dialog.showModal();
    this.show();
  }

  toggle(kind) {
    const publisher = this.publishers[kind];
    if (publisher.on) publisher.stop();
    else publisher.start();
  }

  // What the publishers are doing, wherever they are offered.
  show() {
    byId("add-open").hidden = !this.state.may("admin");
    for (const [kind, publisher] of Object.entries(this.publishers)) {
      const text = publisher.text || publisher.why;
      for (const note of document.querySelectorAll(`[data-publish-note="${kind}"]`)) note.textContent = text;
      for (const button of document.querySelectorAll(`[data-publish="${kind}"]`)) {
        button.disabled = Boolean(publisher.why) || publisher.busy;
        button.setAttribute("aria-pressed", String(publisher.on));
      }
      byId(`stop-${kind}`).hidden = !publisher.on;
    }
    byId("sharing").hidden = !Object.values(this.publishers).some((publisher) => publisher.on || publisher.ended);
  }

  clear() {
    for (const name of ["id", "url", "watch_for"]) this.blame(name, "");
    byId("add-problem").textContent = "";
  }

  blame(name, text) {
    const field = this.form.elements[name];
    byId(`add-${name}-problem`).textContent = text;
    if (text) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }

  async submit() {
    this.clear();
    const { id, url, watch_for } = this.form.elements;
    const camera = { id: id.value.trim(), url: url.value.trim() };
    if (watch_for.value.trim()) camera.watch_for = watch_for.value.trim();
    if (!camera.id) { this.blame("id", "Give the camera a short name."); id.focus(); return; }
    if (!camera.url) { this.blame("url", "Say where the camera is: rtsp://, http:// or https://, or webrtc: for a publisher."); url.focus(); return; }
    byId("add-submit").disabled = true;
    try {
      await this.api.send("POST", "/api/cameras", camera);
      this.dialog.close();
      this.form.reset();
      await this.added(camera.id);
    } catch (problem) {
      const field = problem.param.split(".").at(-1);
      if (["id", "url", "watch_for"].includes(field)) {
        this.blame(field, problem.message.replace(`${field}: `, ""));
        this.form.elements[field].focus();
      } else byId("add-problem").textContent = problem.message;
    } finally {
      byId("add-submit").disabled = false;
    }
  }
}
