"""`/api/cameras/{id}/events` and `…/alerts`: what rules have found, and whether they may raise alerts now."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from llama_vid.clients.live import frame_url
from llama_vid.errors import ProtocolError
from llama_vid.memory.alerts import AlertChange, AlertEvent
from llama_vid.parameters import End, Start, check_span
from llama_vid.routes_cameras import desk_of, history_of
from llama_vid.settings_alerts import AlertRules, engine_rules

#: Events of one answer: a week of a busy rule. The newest are told.
MOST_EVENTS = 1000
#: Seconds that rules are tried on where nobody says since when.
DAY_S: Final = 86400.0

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
    start: Start = None,
    end: End = None,
    limit: Annotated[int, Query(ge=1, le=MOST_EVENTS)] = 100,
) -> AlertEvents:
    """The newest `limit` events between `from` and `to` (seconds of the one clock; both may be left out)."""
    check_span(start, end)
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


class RuleTrial(BaseModel):
    """Rules to try, as in the configuration, on what was seen between two times."""

    model_config = ConfigDict(extra="forbid")

    rules: Annotated[AlertRules, Field(min_length=1, max_length=50)]
    start: float | None = Field(default=None, alias="from", allow_inf_nan=False)
    end: float | None = Field(default=None, alias="to", allow_inf_nan=False)


class Scores(BaseModel):
    """How likely each rule was satisfied at `times`: the highest probability until the next one."""

    times: list[float]
    rules: dict[str, list[float]]


class RuleTrialResult(BaseModel):
    """What rules would have raised over so many `moments`; the pictures of `looked_at` of them were looked at."""

    events: list[AlertEventInfo]
    scores: Scores
    moments: int
    looked_at: int


@router.post("/alerts/try", responses={200: {"content": {"image/png": {}}}}, response_model=RuleTrialResult)
async def try_rules(
    request: Request, camera_id: str, trial: RuleTrial, plot: bool = False
) -> Response | RuleTrialResult:
    """How often rules would have fired, by the pictures that are kept: since `from` (a day ago), until `to` (now).

    The 90 most promising moments are looked at as live ones are; the others are judged by whole pictures, which miss
    small things. Nothing is verified. `plot=true` gives a picture.
    """
    end = trial.end if trial.end is not None else time.time()
    start = trial.start if trial.start is not None else end - DAY_S
    if end < start:
        raise ProtocolError("to lies before from; swap them.", param="to")
    await history_of(request).known(camera_id)
    rules = engine_rules(trial.rules)
    found = await desk_of(request).model.try_rules(camera_id, rules, start, end)
    curve = found.curve
    if plot:
        from llama_vid.commands.plot_rules import draw_rules
        from llama_vid.llm.rules.watcher import Second  # imports torch

        changes = [AlertChange("end", event, event.end or end) for event in found.events]
        seconds = [
            Second(at, at, {name: values[number] for name, values in curve.scores.items()})
            for number, at in enumerate(curve.times)
        ]
        with tempfile.TemporaryDirectory(prefix="llama-vid-plot-") as place:
            file = Path(place) / "rules.png"
            await asyncio.to_thread(draw_rules, rules, changes, seconds, file, title=camera_id)
            return Response(file.read_bytes(), media_type="image/png")
    return RuleTrialResult(
        events=[_told(event) for event in found.events],
        scores=Scores(times=list(curve.times), rules={name: list(values) for name, values in curve.scores.items()}),
        moments=found.moments,
        looked_at=found.looked_at,
    )


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
