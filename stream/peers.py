"""What WHIP and WHEP have in common: peer connections that answer an SDP offer with all candidates, and end cleanly."""

from __future__ import annotations

from collections.abc import Sequence

from aiortc import RTCConfiguration, RTCDtlsTransport, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError

from llama_vid.errors import ProtocolError
from llama_vid.stream.ice import IceServer

#: An offer of a browser with every codec it knows takes 10 kB; ten times that is refused before it is parsed.
LONGEST_OFFER = 100_000

#: What aiortc's parser and negotiation raise on offers that are no good.
BAD_OFFER = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    AssertionError,
    InvalidStateError,
    InvalidAccessError,
    RuntimeError,  # a StopIteration inside its coroutines
    TimeoutError,
)


def new_peer(servers: Sequence[IceServer] = ()) -> RTCPeerConnection:
    """A peer connection. Without servers it asks nobody: the program works offline."""
    ice = [RTCIceServer(server.url, server.username, server.credential) for server in servers]
    return RTCPeerConnection(RTCConfiguration(iceServers=ice))


def check_offer(sdp: str, *, protocol: str, kinds: tuple[str, ...] = ("video",)) -> None:
    """Refuse what is no offer with one of the `kinds` of media, before it is parsed. Raises ProtocolError."""
    if not sdp.strip():
        raise ProtocolError(f"The {protocol} request is empty: send the SDP offer as its body.", param="sdp")
    if len(sdp) > LONGEST_OFFER:
        raise ProtocolError(f"The SDP offer is longer than {LONGEST_OFFER} bytes.", param="sdp")
    lines = sdp.splitlines()
    if lines[0].strip() != "v=0":
        raise ProtocolError(f"The {protocol} request's body is not SDP: it must begin with v=0.", param="sdp")
    if not any(line.startswith(tuple(f"m={kind} " for kind in kinds)) for line in lines):
        raise ProtocolError("The SDP offer has no video (no m=video line): add a camera or screen track.", param="sdp")


async def answer_offer(peer: RTCPeerConnection, sdp: str) -> str:
    """Take the offer and give the answer with all our candidates. Raises ProtocolError.

    An offer need not name the address that its peer calls from: OBS and ffmpeg send none at all, browsers hide theirs
    behind multicast names, NAT changes them. So no offer ends its candidates here; ICE then goes on waiting for the
    call, and who never calls is let go by a time limit.
    """
    lines = [line for line in sdp.splitlines() if line.strip() != "a=end-of-candidates"]
    try:
        await peer.setRemoteDescription(RTCSessionDescription(sdp="\r\n".join(lines) + "\r\n", type="offer"))
        if "a=fingerprint:" not in sdp:
            raise ValueError("no a=fingerprint")
        if "a=setup:passive" not in lines:
            _let_call(peer)
        await peer.setLocalDescription(await peer.createAnswer())
    except OperationError as problem:
        raise ProtocolError(
            f"No codec of the offer is known here ({_in_words(problem)}): offer VP8 or H.264.",
            code="not_acceptable",
            param="sdp",
        ) from None
    except BAD_OFFER as problem:
        raise ProtocolError(
            f"The SDP offer cannot be used ({_in_words(problem)}): send a complete WebRTC offer.", param="sdp"
        ) from None
    return str(peer.localDescription.sdp)


def _let_call(peer: RTCPeerConnection) -> None:
    """Let the peer open the DTLS handshake, where it offers either way.

    GStreamer's certificates are of RSA, and as DTLS client aiortc knows none but elliptic ones of servers; a client may
    come with any. And the call cannot come before the other side listens, to be repeated a second later.
    """
    for dtls in transports(peer):
        dtls._set_role("server")


def transports(peer: RTCPeerConnection) -> set[RTCDtlsTransport]:
    """All DTLS transports of a connection; a wrong BUNDLE group leaves media without one."""
    found = {transceiver.receiver.transport for transceiver in peer.getTransceivers()}
    if peer.sctp is not None:
        found.add(peer.sctp.transport)
    return {dtls for dtls in found if dtls is not None}


def _in_words(problem: Exception) -> str:
    return " ".join(str(problem).split())[:120] or type(problem).__name__


async def close_peer(peer: RTCPeerConnection) -> None:
    """Close the connection and all its sockets, also one whose offer was only half understood."""
    try:
        await peer.close()
    except AttributeError:
        # aiortc stops at the first media section that a wrong BUNDLE group left without a transport.
        for dtls in transports(peer):
            await dtls.stop()
            await dtls.transport.stop()
