"""What the log looks like: lines for people, or one JSON object a line for programs, without secrets either way.

A JSON line has `time` (RFC 3339, UTC), `level`, `logger`, `message`, and where they are known `camera`, `response` (the
answer's id, as its client knows it), `session` (of a websocket), `request` (of HTTP, also in the `X-Request-ID` header
of its answer) and `exception`. They come from where the line was written (`extra=`), or from `logged_with`, which holds
for all that is done inside of it: also in tasks that begin there, and in the model's thread.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, Literal

LogFormat = Literal["text", "json"]

#: What a line may say beside its message.
FIELDS: Final = ("camera", "response", "session", "request")
#: The longest message; what is longer is somebody's input.
LONGEST: Final = 4000

_CONTEXT: ContextVar[Mapping[str, str]] = ContextVar("log_context", default={})  # noqa: B039 - never written to


@contextlib.contextmanager
def logged_with(**fields: str) -> Iterator[None]:
    """What is logged inside says this, too: `logged_with(camera="front")`."""
    token = _CONTEXT.set({**_CONTEXT.get(), **fields})
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # a generator that was closed from elsewhere
            _CONTEXT.reset(token)


class PlainFormatter(logging.Formatter):
    """`INFO llama_vid.camera_desk: Camera front: live`, addresses without user and password."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The record as one or more lines."""
        return _redacted(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object for each record."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        tree: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _redacted(record.getMessage())[:LONGEST],
        }
        known = _CONTEXT.get()
        for name in FIELDS:
            value = getattr(record, name, None) or known.get(name)
            if value:
                tree[name] = str(value)
        if record.exc_info and record.exc_info[0] is not None:
            tree["exception"] = _redacted(self.formatException(record.exc_info))
        return json.dumps(tree, ensure_ascii=False)


def set_up(level: int, how: LogFormat) -> None:
    """Has everything that is logged from now on written to stderr in this form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if how == "json" else PlainFormatter())
    logging.basicConfig(level=level, handlers=[handler])


def _redacted(text: str) -> str:
    from llama_vid.stream.urls import redact

    return redact(text)
