"""Who may talk to the port: `Host` and `Origin` are checked on every request and websocket, pages get strict headers.

Loopback is no protection by itself: any web page can open a local websocket, and a name that an attacker's DNS points
at 127.0.0.1 makes his page "same origin". A `Host` that is not ours stops the second, a foreign `Origin` the first.
Beyond loopback the same holds for any name; an address that the connection itself came in by can be nobody's trick.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llama_vid.errors import ProtocolError
from llama_vid.refusals import refusal

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
#: A body must be here after so long: even the longest then needs no more than 9 kB a second.
BODY_S = 30.0


class Guard:
    """ASGI middleware: 421 for a foreign `Host`, 403 for a foreign `Origin`, 413 for a long body, 408 for a slow one.

    Every answer gets the security headers.
    """

    def __init__(self, app: ASGIApp, host: str, hosts: Iterable[str] = (), *, body_s: float = BODY_S) -> None:
        """`host` is the address that the server is bound to, `hosts` are other names of it (`server.hosts`).

        The names of the loopback are always its own, and so is the address that a connection came in by.
        """
        self._app = app
        self._hosts = {"localhost", "127.0.0.1", "::1", host.lower(), *(name.lower() for name in hosts)}
        self._body_s = body_s

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

        received, whole = 0, False
        limit = asyncio.get_running_loop().time() + self._body_s

        async def receive_bounded() -> Message:
            nonlocal received, whole
            if whole:  # what comes now is that the client has left, whenever it does
                return await receive()
            try:
                async with asyncio.timeout_at(limit):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"The body was not here after {self._body_s:g} s.") from None
            received += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if received > MAX_BODY_BYTES:
                raise HTTPException(413, f"The body is longer than {MAX_BODY_BYTES} bytes.")
            return message

        try:
            self._check(scope)
        except ProtocolError as problem:
            if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": 1008})
                return
            await refusal(problem)(scope, receive, send_guarded)
            return
        await self._app(scope, receive_bounded if scope["type"] == "http" else receive, send_guarded)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        name, netloc = _split(f"//{hosts[0]}") if len(hosts) == 1 else (None, "")
        if name is None or not (name in self._hosts or _came_in_by(name, scope)):
            raise ProtocolError(
                "This Host is not served here; open the page by the address that the server printed, "
                "or add the name to server.hosts.",
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


def _came_in_by(name: str, scope: Scope) -> bool:
    """Whether `name` is the very address, in figures, at which this connection reached us."""
    server = scope.get("server")
    try:
        return server is not None and _plain(name) == _plain(server[0])
    except ValueError:  # a name
        return False


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address, that of IPv4 also where it is written in IPv6. Raises ValueError for a name."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


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
