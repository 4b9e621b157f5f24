"""`/api/cameras/{id}/captions.vtt`: what was said in front of a camera, as WebVTT."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from llama_vid.caption_desk import cues_of
from llama_vid.clients.captions.vtt import MEDIA_TYPE, vtt
from llama_vid.parameters import End, Start, check_span
from llama_vid.routes_cameras import history_of

router = APIRouter(prefix="/api/cameras/{camera_id}", tags=["captions"])


@router.get("/captions.vtt", response_class=Response, responses={200: {"content": {"text/vtt": {}}}})
async def show_captions(
    request: Request,
    camera_id: str,
    start: Start = None,
    end: End = None,
) -> Response:
    """Committed captions between `from` and `to` (seconds of the one clock; both may be left out).

    Their times count from `from`, or from the first words; the file's note says which second that is.
    """
    check_span(start, end)
    said = await history_of(request).said(camera_id, start, end)
    origin = start if start is not None else said[0].start if said else 0.0
    text = vtt(cues_of(said), origin, note=f"0 is {origin:.3f} s of the camera's clock")
    return Response(text, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})
