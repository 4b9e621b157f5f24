"""`/whip/{camera}`: takes WebRTC publishers in, after RFC 9725 without trickle ICE and ICE restarts (PATCH gets 405).

A new publisher takes a camera over from the one before it. Answers: 201 with the session's Location and the ICE servers
as Link, 400 for what is no offer of video, 404 no such camera or session, 406 no codec known, 409 a camera of another
kind, 413 too long, 415 not application/sdp, 503 with Retry-After while the model loads.
"""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request, Response

from llama_vid.camera_desk import Camera, CameraDesk
from llama_vid.errors import ProtocolError
from llama_vid.live_types import Ingest
from llama_vid.offers import ANSWER, created, options, read_offer
from llama_vid.routes_cameras import desk_of
from llama_vid.webrtc_desk import WebrtcDesk

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/whip", tags=["whip"])


def webrtc_of(request: Request) -> WebrtcDesk:
    """The running server's WebRTC desk."""
    desk = request.app.state.webrtc
    assert isinstance(desk, WebrtcDesk)
    return desk


def _ingest(desk: CameraDesk, camera_id: str) -> tuple[Camera, Ingest]:
    camera = desk.camera(camera_id)
    if camera.ingest is None:
        raise ProtocolError(
            f"Camera {camera_id!r} is not a webrtc: camera, so nobody can publish to it.",
            code="not_publishable",
            param="camera",
        )
    return camera, camera.ingest


@router.post("/{camera_id}", status_code=201, response_class=Response, responses=ANSWER)
async def publish(request: Request, camera_id: str) -> Response:
    """Takes an SDP offer; answers 201 with the SDP answer and the session's Location."""
    camera, ingest = _ingest(desk_of(request), camera_id)
    sdp = await read_offer(request)
    try:
        offered = await ingest.offer(sdp)
    except TimeoutError:
        raise ProtocolError("The offer could not be answered in time; try again.", code="unavailable") from None
    logger.info("Camera %s: a publisher came in", camera.name)
    return created(offered.sdp, f"/whip/{camera_id}/{offered.resource_id}", webrtc_of(request).links)


@router.options("/{camera_id}", status_code=204, response_class=Response)
async def endpoint_options(request: Request, camera_id: str) -> Response:
    """What the endpoint takes, and the ICE servers to offer with."""
    _ingest(desk_of(request), camera_id)
    return options("OPTIONS, POST, DELETE", webrtc_of(request).links)


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
