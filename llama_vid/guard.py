"""Who may talk to the port: `Host` and `Origin` are checked on every request and websocket, pages get strict headers.

Loopback is no protection by itself: any web page can open a local websocket, and a name that an attacker's DNS points
at 127.0.0.1 makes his page "same origin". A `Host` that is not ours stops the second, a foreign `Origin` the first.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llama_vid.errors import ProtocolError

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Other pages may not embed a camera's picture.
    "Cross-Origin-Resource-Policy": "same-origin",
}


#: The longest request body. A camera takes 3 kB, a WebRTC offer 10 kB.
MAX_BODY_BYTES = 262_144


class Guard:
    """ASGI middleware: 421 for a foreign `Host`, 403 for a foreign `Origin`, 413 for a long body, security headers."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        """`host` is the address that the server is bound to; the names of the loopback are always its own."""
        self._app = app
        self._hosts = {"localhost", "127.0.0.1", "::1", host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise HTTPException(413, f"The body is longer than {MAX_BODY_BYTES} bytes.")
            return message

        headers = Headers(scope=scope)
        try:
            self._check(headers)
        except ProtocolError as problem:
            status = {"Host": 421, "Content-Length": 413}.get(problem.param or "", 403)
            answer = JSONResponse({"error": {"code": problem.code, "message": str(problem)}}, status)
            if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": 1008})
                return
            await answer(scope, receive, send_guarded)
            return
        await self._app(scope, receive_bounded if scope["type"] == "http" else receive, send_guarded)

    def _check(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        name, netloc = _split(f"//{hosts[0]}") if len(hosts) == 1 else (None, "")
        if name not in self._hosts:
            raise ProtocolError(
                "This Host is not served here; open the page by the address that the server printed.",
                code="host_not_allowed",
                param="Host",
            )
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > MAX_BODY_BYTES:
            raise ProtocolError(
                f"The body is longer than {MAX_BODY_BYTES} bytes.", code="too_big", param="Content-Length"
            )
        for origin in headers.getlist("origin"):
            # The scheme may differ behind a proxy that ends TLS; host and port may not.
            if not origin.lower().startswith(("http://", "https://")) or _split(origin)[1] != netloc:
                raise ProtocolError(
                    "Pages of another origin may not use this server; open its own page instead.",
                    code="origin_not_allowed",
                    param="Origin",
                )


def _split(url: str) -> tuple[str | None, str]:
    """Host name, and host with port, in lower case; (None, "") when unreadable."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None, ""
    if "@" in parts.netloc:
        return None, ""
    return parts.hostname, parts.netloc.lower()
