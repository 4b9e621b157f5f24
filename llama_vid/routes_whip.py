"""`/whip/{camera}`: takes WebRTC publishers in, after RFC 9725 without trickle ICE and ICE restarts (PATCH gets 405).

A new publisher takes a camera over from the one before it. Answers: 201 with the session's Location, 400 for what is no
offer of video, 404 no such camera or session, 409 a camera of another kind, 413 too long, 415 not application/sdp, 503
with Retry-After while the model loads.
"""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request, Response

from llama_vid.camera_desk import Camera, CameraDesk
from llama_vid.errors import ProtocolError
from llama_vid.live_types import Ingest
from llama_vid.routes_cameras import desk_of

logger = logging.getLogger(__name__)

SDP = "application/sdp"
#: An offer of one camera has some 6 kB with all its candidates.
MAX_OFFER_BYTES = 65_536

router = APIRouter(prefix="/whip", tags=["whip"])


def _ingest(desk: CameraDesk, camera_id: str) -> tuple[Camera, Ingest]:
    camera = desk.camera(camera_id)
    if camera.ingest is None:
        raise ProtocolError(
            f"Camera {camera_id!r} is not a webrtc: camera, so nobody can publish to it.",
            code="not_publishable",
            param="camera",
        )
    return camera, camera.ingest


@router.post(
    "/{camera_id}",
    status_code=201,
    response_class=Response,
    responses={201: {"content": {SDP: {"schema": {"type": "string"}}}}},
)
async def publish(request: Request, camera_id: str) -> Response:
    """Takes an SDP offer; answers 201 with the SDP answer and the session's Location."""
    camera, ingest = _ingest(desk_of(request), camera_id)
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != SDP:
        raise ProtocolError(f"Send the offer as {SDP}.", code="unsupported_media_type", param="Content-Type")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_OFFER_BYTES:
            raise ProtocolError(f"The offer is longer than {MAX_OFFER_BYTES} bytes.", code="too_big")
    try:
        offered = await ingest.offer(body.decode("utf-8", errors="replace"))
    except TimeoutError:
        raise ProtocolError("The offer could not be answered in time; try again.", code="unavailable") from None
    logger.info("Camera %s: a publisher came in", camera.name)
    location = f"/whip/{camera_id}/{offered.resource_id}"
    return Response(offered.sdp, 201, {"Location": location}, media_type=SDP)


@router.options("/{camera_id}", status_code=204, response_class=Response)
async def endpoint_options(request: Request, camera_id: str) -> Response:
    """What the endpoint takes."""
    _ingest(desk_of(request), camera_id)
    return Response(status_code=204, headers={"Accept-Post": SDP, "Allow": "OPTIONS, POST, DELETE"})


@router.delete("/{camera_id}", response_class=Response)
async def end_publishing(request: Request, camera_id: str) -> Response:
    """Ends the session of whoever publishes to a camera; 404 when nobody does."""
    camera, ingest = _ingest(desk_of(request), camera_id)
    if ingest.resource_id is None:
        raise ProtocolError(f"Nobody publishes to camera {camera.name!r}.", code="not_found")
    await ingest.close(ingest.resource_id)
    return Response(status_code=200)


@router.delete("/{camera_id}/{resource_id}", response_class=Response)
async def end_session(request: Request, camera_id: str, resource_id: str) -> Response:
    """Ends one publisher's session; 404 when it is over already."""
    _, ingest = _ingest(desk_of(request), camera_id)
    await ingest.close(resource_id)
    return Response(status_code=200)
