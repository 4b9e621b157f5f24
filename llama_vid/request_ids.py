"""Every HTTP request and websocket gets an id, which its answer carries and its log lines name."""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llama_vid.log_format import logged_with

logger = logging.getLogger("llama_vid.requests")

HEADER: Final = "X-Request-ID"
#: An id that a client, or a proxy in front of us, has chosen. Anything else is replaced: it goes into the log.
_OURS: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class RequestIds:
    """ASGI middleware, the outermost. At the level DEBUG each request is a log line: method, path, status, time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As the application's."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        number = given if _OURS.fullmatch(given) else f"req_{secrets.token_hex(8)}"
        began, status = time.monotonic(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = number
            await send(message)

        with logged_with(request=number):
            try:
                await self._app(scope, receive, sent)
            finally:
                # The path alone: a query may hold what was asked.
                logger.debug(
                    "%s %s: %s after %.0f ms",
                    *(scope.get("method", "websocket"), scope["path"][:200], status or "-"),
                    1000 * (time.monotonic() - began),
                )
