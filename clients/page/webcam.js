// This computer's webcam as a camera: WHIP (RFC 9725), all ICE candidates in the offer.

const GATHER_MS = 2000; // candidates of the own network come at once; one that hangs is not waited for
const OFFERS = 20; // times half a second

export class Webcam {
  constructor({ button, note, ready }) {
    this.button = button;
    this.note = note;
    this.ready = ready;
    this.camera = null; // the camera that a publisher may use
    this.peer = null;
    button.addEventListener("click", () => (this.peer ? this.stop("") : this.start()));
    addEventListener("pagehide", () => this.stop(""));
  }

  // Which camera takes publishers: the first webrtc: one, else "webcam", which is added when it is needed.
  describe(list) {
    this.camera = list.find((camera) => camera.publishable)?.id ?? null;
  }

  async start() {
    this.show(true, "Asking for your webcam…");
    try {
      if (!navigator.mediaDevices) throw new Error("The browser gives webcams only to pages on localhost or https.");
      this.media = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, frameRate: { ideal: 15 } }, audio: false });
      this.camera ??= await this.add();
      const peer = new RTCPeerConnection();
      this.peer = peer;
      for (const track of this.media.getVideoTracks()) peer.addTransceiver(track, { direction: "sendonly", streams: [this.media] });
      await peer.setLocalDescription();
      await gathered(peer);
      const answer = await this.offer(peer.localDescription.sdp);
      if (!answer.ok) throw new Error((await answer.json()).error?.message ?? "The server refused the webcam.");
      this.session = answer.headers.get("Location");
      await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
      peer.onconnectionstatechange = () => { if (peer === this.peer && peer.connectionState === "failed") this.stop("The connection of the webcam was lost."); };
      this.media.getVideoTracks()[0].onended = () => this.stop("The webcam was switched off.");
      this.show(true, `Your webcam is camera “${this.camera}”.`);
      this.ready(this.camera);
    } catch (problem) {
      const refused = { NotAllowedError: "The browser was not allowed to use the webcam.", NotFoundError: "No webcam was found.", NotReadableError: "Another program uses the webcam." }[problem.name];
      this.stop(refused ?? problem.message);
    }
  }

  // A camera that was just added, or waits for the model, says 503 until it is open.
  async offer(sdp) {
    for (let attempt = 1; ; attempt++) {
      const answer = await fetch(`/whip/${this.camera}`, { method: "POST", headers: { "Content-Type": "application/sdp" }, body: sdp });
      if (answer.status !== 503 || attempt === OFFERS || !this.peer) return answer;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  async add() {
    const body = JSON.stringify({ id: "webcam", url: "webrtc:" });
    const answer = await fetch("/api/cameras", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    if (!answer.ok) throw new Error((await answer.json()).error?.message ?? "The camera could not be added.");
    return "webcam";
  }

  stop(text) {
    this.media?.getTracks().forEach((track) => { track.onended = null; track.stop(); });
    this.peer?.close();
    if (this.session) fetch(this.session, { method: "DELETE", keepalive: true }).catch(() => {});
    this.media = this.peer = this.session = null;
    this.show(false, text);
  }

  show(on, text) {
    this.button.setAttribute("aria-pressed", String(on));
    this.button.lastElementChild.textContent = on ? "Stop my webcam" : "Use my webcam";
    this.note.textContent = text;
  }
}

function gathered(peer) {
  return new Promise((resolve) => {
    if (peer.iceGatheringState === "complete") return resolve();
    peer.onicegatheringstatechange = () => { if (peer.iceGatheringState === "complete") resolve(); };
    setTimeout(resolve, GATHER_MS);
  });
}
