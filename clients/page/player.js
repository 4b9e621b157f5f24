// A camera's live video over WebRTC: WHEP, with all ICE candidates in the offer. Where it cannot be had, JPEGs go on.

import { connection, gathered, sdpOf } from "/page/webrtc.js";

const FIRST_FRAME_MS = 8000; // a camera without a key frame for so long is shown as snapshots
const RETRY_MS = 30000;

export class Player {
  // `shown(true)` when moving pictures are there, `shown(false)` when they are no more.
  constructor(video, api, shown) {
    this.video = video;
    this.api = api;
    this.shown = shown;
    this.camera = null;
    this.hopeless = new Set(); // cameras that cannot be played so: not found, no codec
    video.addEventListener("loadeddata", () => this.begin());
    addEventListener("pagehide", () => this.stop());
  }

  get possible() {
    return "RTCPeerConnection" in window && this.api.offers("/whep/");
  }

  async start(camera) {
    if (camera === this.camera || !this.possible || this.hopeless.has(camera)) return;
    this.stop(camera);
    const address = `/whep/${encodeURIComponent(camera)}`;
    let peer = null;
    try {
      peer = await connection(address);
      if (camera !== this.camera) { peer.close(); return; }
      this.peer = peer;
      peer.addTransceiver("video", { direction: "recvonly" });
      peer.ontrack = (event) => { this.video.srcObject = new MediaStream([event.track]); };
      peer.onconnectionstatechange = () => { if (peer === this.peer && peer.connectionState === "failed") this.again(RETRY_MS); };
      await peer.setLocalDescription();
      await gathered(peer);
      if (peer !== this.peer) return;
      const answer = await sdpOf(address, peer);
      if (peer !== this.peer) { this.leave(answer.headers.get("Location")); return; }
      if (!answer.ok) { this.refused(answer); return; }
      this.session = answer.headers.get("Location");
      await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
      this.timer = setTimeout(() => { if (peer === this.peer && this.video.readyState < 2) this.again(RETRY_MS); }, FIRST_FRAME_MS);
    } catch {
      if (camera === this.camera && peer === this.peer) this.again(RETRY_MS);
    }
  }

  // The first frame is there. Browsers start no video by themselves that is not shown yet.
  async begin() {
    if (!this.peer) return;
    this.shown(true);
    await this.video.play().catch(() => {}); // was stopped in the meantime
  }

  refused(answer) {
    if (answer.status === 503) this.again(Math.max(RETRY_MS, 1000 * (Number(answer.headers.get("Retry-After")) || 0)));
    else {
      this.hopeless.add(this.camera);
      this.stop();
    }
  }

  again(milliseconds) {
    const { camera } = this;
    this.stop(camera); // it is still its turn, or whoever is told would try again at once
    this.timer = setTimeout(() => { this.camera = null; this.start(camera); }, milliseconds);
  }

  stop(camera = null) {
    clearTimeout(this.timer);
    this.peer?.close();
    this.leave(this.session);
    this.peer = this.session = null;
    this.camera = camera;
    if (this.video.srcObject) this.video.srcObject = null;
    this.shown(false);
  }

  leave(session) {
    if (session) fetch(session, { method: "DELETE", keepalive: true }).catch(() => {});
  }
}
