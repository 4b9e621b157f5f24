// This computer's webcam or screen as a camera: WHIP (RFC 9725), all ICE candidates in the offer.

import { cameraPath } from "/page/api.js";
import { connection, gathered, sdpOf } from "/page/webrtc.js";

const OPENING_MS = 250; // how often to ask whether a camera that was added is open
const OPENING_TRIES = 80;
const ENDED_MS = 10000; // how long it is said that something is no longer shared
const REFUSED = {
  NotAllowedError: { webcam: "The browser was not allowed to use the webcam.", screen: "No screen was chosen." },
  NotFoundError: { webcam: "No webcam was found.", screen: "There is no screen to share." },
  NotReadableError: { webcam: "Another program uses the webcam.", screen: "The screen cannot be read." },
};

export class Publisher {
  // `kind` is webcam or screen; `told()` is called when anything changes, `ready(camera)` when pictures flow.
  constructor(kind, state, api, { told, ready }) {
    Object.assign(this, { kind, state, api, told, ready });
    this.camera = null;
    this.peer = null;
    this.busy = false;
    this.text = "";
    this.ended = false; // whether it was ended by something else than its button, a moment ago
    this.farewell = Promise.resolve();
    addEventListener("pagehide", () => this.stop());
  }

  get on() {
    return this.busy || Boolean(this.peer);
  }

  // Why this browser cannot do it here; empty when it can.
  get why() {
    const method = this.kind === "webcam" ? "getUserMedia" : "getDisplayMedia";
    if (navigator.mediaDevices?.[method] && "RTCPeerConnection" in window) return "";
    if (!isSecureContext) return `Browsers give the ${this.kind} only to pages opened over https or on localhost. Set server.tls in llama-vid.yaml, or open this page on the server itself.`;
    return `This browser cannot share a ${this.kind}.`;
  }

  async start() {
    this.change(true, this.kind === "webcam" ? "Asking for your webcam…" : "Choose what to share…");
    try {
      if (this.why) throw new Error(this.why);
      this.media = await (this.kind === "webcam"
        ? navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, frameRate: { ideal: 15 } }, audio: false })
        : navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 5, max: 10 } }, audio: false }));
      this.change(true, "Connecting…");
      this.camera = await this.place();
      await this.opened(this.camera);
      const address = `/whip/${encodeURIComponent(this.camera)}`;
      const peer = await connection(address);
      this.peer = peer;
      for (const track of this.media.getVideoTracks()) peer.addTransceiver(track, { direction: "sendonly", streams: [this.media] });
      await peer.setLocalDescription();
      await gathered(peer);
      const answer = await sdpOf(address, peer);
      if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error?.message ?? `The server refused the ${this.kind}.`);
      this.session = answer.headers.get("Location");
      await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
      peer.onconnectionstatechange = () => { if (peer === this.peer && peer.connectionState === "failed") this.stop(`The connection of the ${this.kind} was lost.`); };
      this.media.getVideoTracks()[0].onended = () => this.stop(`The ${this.kind} is no longer shared.`);
      this.change(false, `Your ${this.kind} is camera “${this.camera}”.`);
      this.ready(this.camera);
    } catch (problem) {
      this.stop(REFUSED[problem.name]?.[this.kind] ?? problem.message);
    }
  }

  // The camera to publish to: the one from before, where it is free again; for the webcam the first webrtc: camera that is free, else one of its own, which is added.
  async place() {
    await this.farewell;
    const before = this.camera && (await this.api.get(cameraPath(this.camera)).catch(() => null));
    if (before?.publishable && !before.publishing) return this.camera;
    const free = this.state.names.filter((name) => this.state.cameras.get(name).publishable && !this.state.cameras.get(name).publishing);
    if (this.kind === "webcam" && free.length) return free.find((name) => name === "webcam") ?? free.find((name) => name !== "screen") ?? (await this.add("webcam"));
    if (free.includes(this.kind)) return this.kind;
    return this.add(this.kind);
  }

  async add(wished) {
    let name = wished;
    for (let number = 2; this.state.cameras.has(name); number++) name = `${wished}-${number}`;
    await this.api.send("POST", "/api/cameras", { id: name, url: "webrtc:" });
    return name;
  }

  // A camera that was just added, or waits for the model, takes nobody in yet.
  async opened(camera) {
    for (let attempt = 0; attempt < OPENING_TRIES; attempt++) {
      const now = await this.api.get(cameraPath(camera));
      if (now.open) return;
      if (now.state === "failed") throw new Error(now.reason);
      await new Promise((resolve) => setTimeout(resolve, OPENING_MS));
    }
    throw new Error("The camera is not open yet: the model may still be loading. Try again in a moment.");
  }

  stop(text = "") {
    this.media?.getTracks().forEach((track) => { track.onended = null; track.stop(); });
    this.peer?.close();
    if (this.session) this.farewell = fetch(this.session, { method: "DELETE", keepalive: true }).catch(() => {});
    this.ended = Boolean(this.session && text);
    if (this.ended) setTimeout(() => { this.ended = false; this.told(); }, ENDED_MS);
    this.media = this.peer = this.session = null;
    this.change(false, text);
  }

  change(busy, text) {
    this.busy = busy;
    this.text = text;
    this.told();
  }
}
