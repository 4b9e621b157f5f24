// What publishing (WHIP) and playing (WHEP) have in common.

const GATHER_MS = 2000; // candidates of the own network come at once; one that hangs is not waited for

export function gathered(peer) {
  return new Promise((resolve) => {
    if (peer.iceGatheringState === "complete") { resolve(); return; }
    peer.addEventListener("icegatheringstatechange", () => { if (peer.iceGatheringState === "complete") resolve(); });
    setTimeout(resolve, GATHER_MS);
  });
}

// Sends the peer's offer there.
export function sdpOf(address, peer) {
  return fetch(address, { method: "POST", headers: { "Content-Type": "application/sdp" }, body: peer.localDescription.sdp });
}
