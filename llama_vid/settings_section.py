"""What every section of the settings has in common, and how durations are written in them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


def parse_duration(value: object) -> object:
    """`3s`, `1.5m`, `2h`, `250ms`, `1d` or a bare number, as seconds. Anything else is a ValueError."""
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value.strip())
    if found is None:
        raise ValueError(f"{value!r} is not a duration; write it as 3s, 5m or 2h")
    return float(found[1]) * _UNIT_SECONDS[found[2]]


Seconds = Annotated[float, BeforeValidator(parse_duration)]


class Section(BaseModel):
    """A part of the file: frozen, and what it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
