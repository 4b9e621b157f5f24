"""The gate: says who a request or websocket is, whether the table of needs lets it through, and how often.

401 for who has not signed in, 403 for who may not, 429 for who does it too often, all as `{"error": …}`. What passes
has its `Access` in its state (`llama_vid.access.access_of`). The guard before it has checked `Host` and `Origin`,
without which a cookie would prove nothing.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llama_vid.access import NOBODY, OPEN, Access
from llama_vid.access_desk import AccessDesk
from llama_vid.access_needs import WEBSOCKET, Need, need_of
from llama_vid.clients.protocol import CLOSE_AUTH
from llama_vid.errors import ProtocolError
from llama_vid.refusals import refusal

logger = logging.getLogger(__name__)

#: Where a POST opens a WebRTC session that outlives its request.
MEDIA: Final = ("/whip/", "/whep/")
#: Why a websocket is closed with 1008.
REVOKED: Final = "the access has ended; sign in again"


def cookie_name(scope: Scope) -> str:
    """The cookie's name. Cookies know no port: two servers on one machine must not sign each other's users out."""
    server = scope.get("server")
    return f"llama_vid_{server[1] if server else 0}"


def cookie_of(scope: Scope) -> str | None:
    """The value of our cookie, if it was sent."""
    return HTTPConnection(scope).cookies.get(cookie_name(scope))


def bearer_of(scope: Scope) -> str | None:
    """The token of `Authorization: Bearer …`; "" for a header that is no bearer, None without one."""
    headers = Headers(scope=scope).getlist("authorization")
    if not headers:
        return None
    kind, _, token = headers[0].strip().partition(" ")
    return token.strip() if len(headers) == 1 and kind.lower() == "bearer" else ""


class Gate:
    """ASGI middleware over everything that the application serves."""

    def __init__(self, app: ASGIApp, desk: AccessDesk) -> None:
        self._app, self._desk = app, desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        need = need_of(scope.get("method", WEBSOCKET), scope["path"])
        state = scope.setdefault("state", {})
        with contextlib.ExitStack() as open_for:
            try:
                address = client[0] if (client := scope.get("client")) else ""
                access = state["access"] = self._who(scope, need, address)
                self._desk.count_request(access, address)
                self._check(access, need)
                if scope["type"] == "websocket":
                    open_for.enter_context(self._desk.websocket(access, _closing(state.get("close_now"))))
            except ProtocolError as problem:
                await self._refuse(problem, scope, receive, send)
                return
            if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].startswith(MEDIA):
                send = self._remembering(dict(scope), access, send)
            await self._app(scope, receive, send)

    def _who(self, scope: Scope, need: Need, address: str) -> Access:
        """Who it is. Raises ProtocolError for a token that is no good, also where none is needed."""
        if not self._desk.on:
            return OPEN
        token = bearer_of(scope)
        if token is not None:
            access = self._desk.by_token(token, address)
            if access is None and not need.public:
                raise ProtocolError("This token is unknown, revoked or expired.", code="unauthorized")
            return access or NOBODY
        cookie = cookie_of(scope)
        return self._desk.by_cookie(cookie) if cookie else NOBODY

    def _check(self, access: Access, need: Need) -> None:
        if need.public:
            return
        if not access.signed_in:
            raise ProtocolError(
                "Sign in first: on the page, or with the header 'Authorization: Bearer TOKEN'.", code="unauthorized"
            )
        if need.camera is not None and not access.sees(need.camera):
            raise ProtocolError(f"This token is not for camera {need.camera[:64]!r}.", code="forbidden", param="camera")
        if need.scope is not None:
            access.require(need.scope, need.camera)
            if need.everywhere and not access.everywhere(need.scope):
                raise ProtocolError("This needs a token for all cameras.", code="forbidden")
        if need.question:
            self._desk.count_question(access)

    @staticmethod
    async def _refuse(problem: ProtocolError, scope: Scope, receive: Receive, send: Send) -> None:
        answer = refusal(problem)
        answer.headers["Cache-Control"] = "no-store"
        if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": CLOSE_AUTH})
            return
        await answer(scope, receive, send)

    def _remembering(self, scope: Scope, access: Access, send: Send) -> Send:
        """Sends on; of a 201 it remembers the `Location`, so that the session can be ended with the rights."""

        async def remember(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 201:
                location = dict(message["headers"]).get(b"location")
                if location is not None:
                    self._desk.media(access, lambda: self._end(scope, location.decode("latin-1")))
            await send(message)

        return remember

    async def _end(self, scope: Scope, location: str) -> None:
        """Ends a WebRTC session as its owner would: by DELETE on its address. One that is over already is gone."""

        async def nothing() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def unheard(message: Message) -> None:
            if message["type"] == "http.response.start":
                logger.info("DELETE %s: %d", location, message["status"])

        path = urlsplit(location).path
        request = dict(scope) | {"method": "DELETE", "path": path, "raw_path": path.encode(), "query_string": b""}
        await self._app(request | {"headers": [], "state": {"access": OPEN}}, nothing, unheard)


def _closing(close_now: Callable[[int, str], None] | None) -> Callable[[], Awaitable[None]]:
    async def close() -> None:
        if close_now is not None:
            close_now(CLOSE_AUTH, REVOKED)

    return close
