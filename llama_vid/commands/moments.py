"""Times as people write them on the command line: 2026-11-24T21:00, 21:00, 2h, beginning, now."""

from __future__ import annotations

import math
import re
import time
from datetime import datetime, timedelta, tzinfo
from typing import Final

from llama_vid.errors import ConfigError

HOW: Final = (
    "2026-11-24T21:00, 2026-11-24, 21:00 (today), 2h or 7d (so long ago), seconds of the clock, beginning, or now"
)
_AGO: Final = re.compile(r"-?(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)(?:\s+ago)?")
_UNITS: Final = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_TODAY: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")


def moment(text: str, zone: tzinfo | None = None, now: float | None = None) -> float:
    """A time as epoch seconds; what names no zone is of `zone` (None: this machine's). -inf for the beginning.

    Raises ConfigError.
    """
    wanted, now = text.strip().lower(), time.time() if now is None else now
    if wanted == "now":
        return now
    if wanted in ("beginning", "start"):
        return -math.inf
    if ago := _AGO.fullmatch(wanted):
        return now - float(ago[1]) * _UNITS[ago[2]]
    try:
        if today := _TODAY.fullmatch(wanted):
            hour, minute, second = (int(part or 0) for part in today.groups())
            local = datetime.fromtimestamp(now, zone).replace(hour=hour, minute=minute, second=second, microsecond=0)
            return _seconds(local, zone)
        if re.fullmatch(r"\d+(\.\d+)?", wanted):
            return float(wanted)
        return _seconds(datetime.fromisoformat(text.strip().replace(" ", "T", 1)), zone)
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"{text!r} is not a time; write it as {HOW}") from None


def spelled(seconds: float, zone: tzinfo | None = None) -> str:
    """A time as people read it."""
    if not math.isfinite(seconds):
        return "the beginning" if seconds < 0 else "the end"
    return f"{datetime.fromtimestamp(seconds, zone):%Y-%m-%d %H:%M:%S}"


def length(seconds: float) -> str:
    """A length of time in whole seconds: 0:05, 1:02:33, 2 days, 3:00:00."""
    days, rest = divmod(int(seconds), 86_400)
    text = str(timedelta(seconds=rest)).removeprefix("0:")
    return f"{days} day{'s' if days > 1 else ''}, {text}" if days else text


def _seconds(at: datetime, zone: tzinfo | None) -> float:
    if at.tzinfo is None and zone is not None:
        at = at.replace(tzinfo=zone)
    return at.timestamp()
