"""`/whep/{camera}`: plays a camera out over WebRTC (draft-ietf-wish-whep), without trickle ICE (PATCH gets 405).

Answers: 201 with the session's Location and the ICE servers as Link, 400 for what is no offer that receives video, 404
no such camera or session, 406 no codec known, 413 too long, 415 not application/sdp, 503 with Retry-After while the
camera shows nothing or too many watch.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from llama_vid.errors import ProtocolError
from llama_vid.offers import ANSWER, created, options, read_offer
from llama_vid.routes_cameras import desk_of
from llama_vid.routes_whip import webrtc_of

router = APIRouter(prefix="/whep", tags=["whep"])


@router.post("/{camera_id}", status_code=201, response_class=Response, responses=ANSWER)
async def watch(request: Request, camera_id: str) -> Response:
    """Takes an SDP offer that receives video; answers 201 with the SDP answer and the session's Location."""
    camera = desk_of(request).camera(camera_id)
    sdp = await read_offer(request)
    if camera.session is None or camera.state != "live":
        raise ProtocolError(
            f"Camera {camera_id!r} shows nothing now ({camera.reason or camera.state}); try again.", code="not_live"
        )
    try:
        answer = await webrtc_of(request).watch(camera.name, camera.view, sdp)
    except TimeoutError:
        raise ProtocolError("The offer could not be answered in time; try again.", code="unavailable") from None
    return created(answer.sdp, f"/whep/{camera_id}/{answer.resource_id}", webrtc_of(request).links)


@router.options("/{camera_id}", status_code=204, response_class=Response)
async def endpoint_options(request: Request, camera_id: str) -> Response:
    """What the endpoint takes, and the ICE servers to offer with."""
    desk_of(request).camera(camera_id)
    return options("OPTIONS, POST", webrtc_of(request).links)


@router.delete("/{camera_id}/{resource_id}", response_class=Response)
async def end_session(request: Request, camera_id: str, resource_id: str) -> Response:
    """Ends a viewer's session; 404 when it is over already."""
    await webrtc_of(request).leave(camera_id, resource_id)
    return Response(status_code=200)
