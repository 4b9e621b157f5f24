"""SDP over HTTP, as WHIP (RFC 9725) and WHEP have it in common: reading the offer, and the answer's form."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request, Response

from llama_vid.errors import ProtocolError

SDP: Final = "application/sdp"
#: An offer of one camera has some 6 kB with all its candidates.
MAX_OFFER_BYTES: Final = 65_536
#: What OpenAPI says of an answer.
ANSWER: Final[dict[int | str, dict[str, Any]]] = {201: {"content": {SDP: {"schema": {"type": "string"}}}}}


async def read_offer(request: Request) -> str:
    """The body. Raises ProtocolError for one of another type (415) or one that is too long (413)."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != SDP:
        raise ProtocolError(f"Send the offer as {SDP}.", code="unsupported_media_type", param="Content-Type")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_OFFER_BYTES:
            raise ProtocolError(f"The offer is longer than {MAX_OFFER_BYTES} bytes.", code="too_big")
    return body.decode("utf-8", errors="replace")


def created(sdp: str, location: str, links: dict[str, str]) -> Response:
    """201 with the answer. No ETag: it would promise ICE restarts (RFC 9725 section 4.3.3)."""
    return Response(sdp, 201, {"Location": location, "Cache-Control": "no-store"} | links, media_type=SDP)


def options(allow: str, links: dict[str, str]) -> Response:
    """204, saying what an endpoint takes."""
    return Response(status_code=204, headers={"Accept-Post": SDP, "Allow": allow, "Cache-Control": "no-store"} | links)
