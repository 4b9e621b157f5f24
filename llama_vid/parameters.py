"""Query parameters that several addresses share."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Query

from llama_vid.errors import ProtocolError

#: Times beyond any clock: the year 5138. What is further away is a slip, such as milliseconds.
FARTHEST_S: Final = 1e11

#: One end of a span of time, in seconds of the one clock.
Start = Annotated[
    float | None,
    Query(alias="from", ge=-FARTHEST_S, le=FARTHEST_S, allow_inf_nan=False, description="Seconds of the one clock."),
]
End = Annotated[
    float | None,
    Query(alias="to", ge=-FARTHEST_S, le=FARTHEST_S, allow_inf_nan=False, description="Seconds of the one clock."),
]


def check_span(start: float | None, end: float | None) -> None:
    """Raises ProtocolError where a span ends before it begins."""
    if start is not None and end is not None and end < start:
        raise ProtocolError("to lies before from; swap them.", param="to")
