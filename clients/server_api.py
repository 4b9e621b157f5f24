"""A running server's HTTP addresses, for asyncio programs beside it. Errors come as one plain line each."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import httpx

from llama_vid.clients.live import frame_url
from llama_vid.clients.openai_request import ALL, PREFIX
from llama_vid.errors import LlamaVidError

#: Seconds until a server that does not take the call counts as not there, and those that an answer may take.
CONNECT_S: Final = 5.0
ANSWER_S: Final = 120.0


class ServerUnreachable(LlamaVidError):
    """No server answers at the address."""

    code = "connection_lost"


class CallRefused(LlamaVidError):
    """The server answered with an error; `status` is HTTP's, `code` the server's."""

    def __init__(self, message: str, status: int, code: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class ServerApi:
    """Made by `async with ServerApi.at(url, token) as api`. Every call raises ServerUnreachable or CallRefused."""

    def __init__(self, http: httpx.AsyncClient, shown: str) -> None:
        self._http, self._shown = http, shown

    @classmethod
    @contextlib.asynccontextmanager
    async def at(cls, url: str, token: str | None = None) -> AsyncIterator[Self]:
        """The server at `http(s)://host:port`, with a bearer token where it wants one. Nothing is sent yet.

        Raises ServerUnreachable for what is no such address.
        """
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ServerUnreachable("The server's address must be http(s)://host:port, without user and password.")
        if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token):
            raise ServerUnreachable("The token holds blanks or control characters; copy it again.")
        shown = f"{parts.hostname}:{port}" if port else parts.hostname
        async with httpx.AsyncClient(
            base_url=f"{parts.scheme}://{parts.netloc}",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            # A proxy from the environment must not be asked for this very machine.
            trust_env=parts.hostname not in ("localhost", "127.0.0.1", "::1"),
        ) as http:
            yield cls(http, shown)

    async def cameras(self) -> list[dict[str, Any]]:
        """All cameras, as `GET /api/cameras` describes them."""
        return list((await self._json("GET", "/api/cameras"))["cameras"])

    async def ask(self, question: str, cameras: Sequence[str] = (), earlier: Sequence[str] = ()) -> dict[str, Any]:
        """The chat completion of a question to some cameras (all, where none is named); `citations` are in it."""
        model = PREFIX + ",".join(cameras) if cameras else ALL
        messages = [{"role": "user", "content": text} for text in (*earlier, question)]
        return await self._json("POST", "/v1/chat/completions", json={"model": model, "messages": messages})

    async def search(
        self, camera: str, text: str, start: float | None = None, end: float | None = None, limit: int = 10
    ) -> list[dict[str, Any]]:
        """Moments that match a text, best first."""
        params = _span(start, end) | {"text": text, "limit": limit}
        return list((await self._json("GET", f"{_path(camera)}/search", params=params))["matches"])

    async def events(
        self, camera: str, start: float | None = None, end: float | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """The newest alert events, in time order."""
        params = _span(start, end) | {"limit": limit}
        return list((await self._json("GET", f"{_path(camera)}/events", params=params))["events"])

    async def timeline(self, camera: str, start: float | None = None, end: float | None = None) -> list[dict[str, Any]]:
        """What happened when, in time order."""
        return list((await self._json("GET", f"{_path(camera)}/timeline", params=_span(start, end)))["spans"])

    async def picture(self, camera: str, seconds: float | None = None) -> bytes:
        """The kept picture nearest to a time (None: the newest) as JPEG."""
        path = f"{_path(camera)}/frames/latest.jpg" if seconds is None else frame_url(quote(camera, safe=""), seconds)
        return (await self._call("GET", path)).content

    async def _json(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        answer = await self._call(method, path, **more)
        try:
            tree = answer.json()
        except ValueError:
            tree = None
        if not isinstance(tree, dict):
            raise ServerUnreachable(f"What answers at {self._shown} is no llama-vid server; check the address.")
        return tree

    async def _call(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, path, **more)
        except httpx.TimeoutException:
            raise ServerUnreachable(f"The server at {self._shown} does not answer in time; try again later.") from None
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise ServerUnreachable(
                f"No llama-vid server at {self._shown} ({problem or type(problem).__name__}); start it with "
                "`llama-vid serve`, or give its address in LLAMA_VID_URL."
            ) from None
        if answer.is_success:
            return answer
        code, message = _told(answer)
        if answer.status_code == 401:
            message = f"{message} Give a token in LLAMA_VID_TOKEN (llama-vid token create)."
        raise CallRefused(message, answer.status_code, code)


def _told(answer: httpx.Response) -> tuple[str, str]:
    """Code and message of an error."""
    try:
        error = answer.json()["error"]
        return str(error.get("code")), str(error["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "http_error", f"The server answered with HTTP {answer.status_code}."


def _path(camera: str) -> str:
    return f"/api/cameras/{quote(camera, safe='')}"


def _span(start: float | None, end: float | None) -> dict[str, Any]:
    return {name: value for name, value in (("from", start), ("to", end)) if value is not None}
