"""`/api/cameras/{id}/events` and `…/alerts`: what rules have found, and whether they may raise alerts now."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict

from llama_vid.clients.live import frame_url
from llama_vid.errors import ProtocolError
from llama_vid.memory.alerts import AlertEvent
from llama_vid.routes_cameras import desk_of, history_of

#: Events of one answer: a week of a busy rule. The newest are told.
MOST_EVENTS = 1000

router = APIRouter(prefix="/api/cameras/{camera_id}", tags=["alerts"])


class AlertEventInfo(BaseModel):
    """An event of a rule. `end` is null while it goes on; `verified` false: the second look took it back.

    `frame_urls` are pictures that show it, the best first; `before_url` is the picture from just before.
    """

    id: str
    rule: str
    text: str
    start: float
    end: float | None
    score: float
    verified: bool | None
    frame_urls: list[str]
    before_url: str | None


class AlertEvents(BaseModel):
    """Events in time order."""

    events: list[AlertEventInfo]


class Alerting(BaseModel):
    """The rules of a camera by name, and whether they are paused."""

    rules: list[str]
    paused: bool


class Pause(BaseModel):
    """Whether a camera's alerts are to be paused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    paused: bool


@router.get("/events")
async def list_events(
    request: Request,
    camera_id: str,
    start: Annotated[float | None, Query(alias="from", allow_inf_nan=False)] = None,
    end: Annotated[float | None, Query(alias="to", allow_inf_nan=False)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_EVENTS)] = 100,
) -> AlertEvents:
    """The newest `limit` events between `from` and `to` (seconds of the one clock; both may be left out)."""
    if start is not None and end is not None and end < start:
        raise ProtocolError("to lies before from; swap them.", param="to")
    found = await history_of(request).events(camera_id, start, end, limit)
    return AlertEvents(events=[_told(event) for event in found])


@router.get("/alerts")
async def show_alerting(request: Request, camera_id: str) -> Alerting:
    """The rules of a camera, and whether they are paused."""
    desk = desk_of(request)
    rules = [rule.name for rule in desk.camera(camera_id).settings.alerts]
    return Alerting(rules=rules, paused=desk.alerts.paused(camera_id))


@router.put("/alerts")
async def pause_alerting(request: Request, camera_id: str, pause: Pause) -> Alerting:
    """Pauses a camera's alerts, or has them go on. What is open ends when they are paused."""
    await desk_of(request).pause_alerts(camera_id, pause.paused)
    return await show_alerting(request, camera_id)


def _told(event: AlertEvent) -> AlertEventInfo:
    return AlertEventInfo(
        id=event.id,
        rule=event.rule,
        text=event.text,
        start=event.start,
        end=event.end,
        score=round(event.score, 4),
        verified=event.verified,
        frame_urls=[frame_url(event.camera, seconds) for seconds in event.frames],
        before_url=frame_url(event.camera, event.before) if event.before is not None else None,
    )
