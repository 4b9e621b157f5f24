// What publishing (WHIP) and playing (WHEP) have in common.

const GATHER_MS = 2000; // candidates of the own network come at once; one that hangs is not waited for

// A connection with the ICE servers that the address tells of (RFC 9725 section 4.6); without any, the own network is meant.
export async function connection(address) {
  const answer = await fetch(address, { method: "OPTIONS" });
  const iceServers = [...(answer.headers.get("Link") ?? "").matchAll(/<([^>]+)>([^<]*)/g)].filter(([, , rest]) => rest.includes('rel="ice-server"')).map(([, urls, rest]) => {
    const value = (name) => new RegExp(`${name}="([^"]*)"`).exec(rest)?.[1];
    return { urls, username: value("username"), credential: value("credential") };
  });
  return new RTCPeerConnection({ iceServers });
}

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
