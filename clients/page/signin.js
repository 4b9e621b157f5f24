// Signing in with a token, for a cookie that this page cannot read. A server without tokens needs none of it.

import { byId } from "/page/dom.js";

const OPEN = { auth: false, name: null, scopes: ["watch", "ask", "admin"] };

export class SignIn {
  // `entered()` is called whenever it becomes known that this browser may watch.
  constructor(state, api, { entered }) {
    Object.assign(this, { state, api, entered });
    this.dialog = byId("sign-in");
    api.unauthorised = () => this.ask();
    byId("sign-in-form").addEventListener("submit", (event) => { event.preventDefault(); this.submit(); });
    byId("token-show").addEventListener("click", () => this.reveal());
    byId("sign-out").addEventListener("click", () => this.leave());
    this.dialog.addEventListener("cancel", (event) => event.preventDefault()); // there is nothing behind it
  }

  async check() {
    const answer = await fetch("/api/session");
    if (answer.status === 401) { this.ask(); return false; }
    const access = answer.ok ? await answer.json() : OPEN; // 404: a server that knows no sign-in
    this.state.setAccess({ ...OPEN, ...access });
    this.inside = Boolean(access.auth);
    byId("account").hidden = !access.auth;
    byId("account-name").textContent = access.name ?? "";
    return true;
  }

  ask() {
    if (this.dialog.open) return;
    document.body.dataset.signed = "out";
    byId("token").value = "";
    byId("token-problem").textContent = this.inside ? "You were signed out: the token was revoked or has expired." : "";
    byId("token").removeAttribute("aria-invalid");
    this.inside = false;
    this.dialog.showModal();
    byId("token").focus();
  }

  async submit() {
    const field = byId("token");
    const token = field.value.trim();
    if (!token) { this.blame("Paste a token. Whoever runs the server makes one with: llama-vid token create"); return; }
    byId("token-submit").disabled = true;
    try {
      const answer = await fetch("/api/session", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }) });
      if (!answer.ok) {
        const { error } = await answer.json().catch(() => ({}));
        this.blame(error?.message ?? "This token is not known.");
        return;
      }
      field.value = "";
      this.dialog.close();
      document.body.dataset.signed = "in";
      await this.check();
      this.entered();
    } catch {
      this.blame("The server does not answer.");
    } finally {
      byId("token-submit").disabled = false;
    }
  }

  blame(text) {
    byId("token-problem").textContent = text;
    byId("token").setAttribute("aria-invalid", "true");
    byId("token").focus();
  }

  reveal() {
    const field = byId("token");
    const hidden = field.type === "password";
    field.type = hidden ? "text" : "password";
    byId("token-show").setAttribute("aria-pressed", String(hidden));
  }

  async leave() {
    await fetch("/api/session", { method: "DELETE" }).catch(() => {});
    location.reload();
  }
}
