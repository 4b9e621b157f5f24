"""Who is in: tokens and browsers as they are this moment, how much each may, and what they have open.

Every look-up first sees whether the tokens file has changed, so a revoked token is refused from then on; what it has
open (websockets, WebRTC sessions, answers and downloads that are being sent) is closed within a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from llama_vid.access import NOBODY, OPEN, Access
from llama_vid.access_rates import Rates
from llama_vid.access_sessions import Sessions
from llama_vid.access_tokens import Token, digest, read_tokens
from llama_vid.errors import ConfigError, ProtocolError
from llama_vid.settings_limits import Limits

logger = logging.getLogger(__name__)

#: How often it is looked whether what is open may stay open.
LOOK_S: Final = 1.0
#: Unknown tokens that one address may try at once, and a second: a person mistypes, a script is slowed down.
WRONG_BURST: Final = 20
WRONG_PER_S: Final = 0.5
#: WebRTC sessions of one token that are remembered, to be ended with it. The oldest have ended long ago.
MOST_MEDIA: Final = 256

Closer = Callable[[], Awaitable[None]]
Kind = Literal["websocket", "sending", "media"]


class TooMuch(ProtocolError):
    """More than a token may; `wait_s` is how long to wait."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message, code="rate_limited")
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class _Open:
    access: Access
    close: Closer
    kind: Kind


class AccessDesk:
    """Sign-in by the tokens of a file; without a file it is off, and everybody may do everything.

    All methods run in the event loop's thread.
    """

    def __init__(self, tokens_file: Path | None = None, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._path = tokens_file
        self._stamp: tuple[int, ...] | None = ()  # of the file that was read; None: there was none
        self._tokens: dict[str, Token] = {}  # by hash
        self._by_id: dict[str, Token] = {}
        self._sessions = Sessions(tokens_file.with_name(f"{tokens_file.name}.sessions")) if tokens_file else None
        self._requests = Rates(self._limits.requests_per_s, max(8.0, 4 * self._limits.requests_per_s))
        self._questions = Rates(self._limits.questions_per_min / 60, max(8.0, self._limits.questions_per_min / 4))
        self._wrong = Rates(WRONG_PER_S, WRONG_BURST)
        self._open: dict[int, _Open] = {}
        self._numbers = itertools.count()

    @property
    def on(self) -> bool:
        """Whether one has to sign in."""
        return self._path is not None

    def by_token(self, secret: str, address: str) -> Access | None:
        """The rights of a token; None for an unknown, revoked or expired one.

        Raises TooMuch for an address that has tried too many of those.
        """
        if not self.on:
            return OPEN
        self._refresh()
        token = self._tokens.get(digest(secret))
        if token is not None and not token.expired():
            return token.access()
        self._count_wrong(address)
        return None

    def by_cookie(self, cookie: str) -> Access:
        """The rights of a signed-in browser; NOBODY for a cookie that is not, or no longer, good."""
        if self._sessions is None:
            return OPEN
        self._refresh()
        session = self._sessions.find(cookie)
        token = self._by_id.get(session.token_id) if session is not None else None
        if session is None or token is None or token.expired():
            return NOBODY
        return token.access(session.sha256)

    def sign_in(self, access: Access) -> str | None:
        """The cookie of a browser that came with a token; None while sign-in is off."""
        return self._sessions.begin(access.token_id) if self._sessions is not None and access.token_id else None

    async def sign_out(self, cookie: str) -> None:
        """Makes a cookie worthless and closes what its browser has open."""
        if self._sessions is not None:
            self._sessions.end(cookie)
            await self.close_revoked()

    def holds(self, access: Access) -> bool:
        """Whether rights that were given once still stand, unchanged."""
        if not self.on:
            return True
        self._refresh()
        token = self._by_id.get(access.token_id or "")
        if token is None or token.expired() or token.access(access.session) != access:
            return False
        return access.session is None or (self._sessions is not None and self._sessions.holds(access.session))

    def count_request(self, access: Access, address: str) -> None:
        """Counts a request of a token, or of an address where there is none. Raises TooMuch."""
        if self.on and (wait := self._requests.take(access.token_id or f"from {address}")):
            raise TooMuch(f"Too many requests: more than {self._limits.requests_per_s:g} a second; slow down.", wait)

    def count_question(self, access: Access) -> None:
        """Counts a question, or another thing that makes the model work. Raises TooMuch."""
        if access.token_id is not None and (wait := self._questions.take(access.token_id)):
            limit = self._limits.questions_per_min
            raise TooMuch(
                f"Too many questions: more than {limit:g} a minute; ask again in {max(1, round(wait))} s.", wait
            )

    @contextlib.contextmanager
    def websocket(self, access: Access, close: Closer) -> Iterator[None]:
        """A websocket for as long as it is open; `close` is called when its rights end. Raises TooMuch."""
        own = len(self._of(access, "websocket"))
        if access.token_id is not None and own >= self._limits.websockets_per_token:
            raise TooMuch(f"This token has {own} websockets open, as many as it may; close one first.", 5.0)
        with self._while_open(_Open(access, close, "websocket")):
            yield

    @contextlib.contextmanager
    def sending(self, access: Access, close: Closer) -> Iterator[None]:
        """An answer or a file for as long as it is being sent; `close` is called when its rights end."""
        with self._while_open(_Open(access, close, "sending")):
            yield

    def media(self, access: Access, close: Closer) -> None:
        """Remembers a WebRTC session, to be closed when the rights of whoever opened it end."""
        if not self.on:
            return
        own = self._of(access, "media")
        for number in own[: max(0, len(own) - MOST_MEDIA + 1)]:
            del self._open[number]
        self._open[next(self._numbers)] = _Open(access, close, "media")

    async def run(self, look_s: float = LOOK_S) -> None:
        """Closes what may no longer be open, until cancelled."""
        while self.on:
            await self.close_revoked()
            await asyncio.sleep(look_s)

    async def close_revoked(self) -> None:
        """Closes what may no longer be open, now."""
        for number, each in list(self._open.items()):
            if not self.holds(each.access) and self._open.pop(number, None) is not None:
                logger.info("Closed what %s had open: its access has ended", each.access.name)
                try:
                    await each.close()
                except Exception:  # the edge towards one session: the others are closed all the same
                    logger.exception("Closing what %s had open failed", each.access.name)

    def _of(self, access: Access, kind: Kind) -> list[int]:
        """The numbers of what a token has open of one kind, oldest first."""
        return [
            number
            for number, each in self._open.items()
            if each.kind == kind and each.access.token_id == access.token_id
        ]

    @contextlib.contextmanager
    def _while_open(self, what: _Open) -> Iterator[None]:
        number = next(self._numbers)
        self._open[number] = what
        try:
            yield
        finally:
            self._open.pop(number, None)

    def _count_wrong(self, address: str) -> None:
        if wait := self._wrong.take(address):
            raise TooMuch("Too many wrong tokens from this address; wait before you try another.", wait)
        logger.warning("A token from %s was refused: it is unknown, revoked or expired", address)

    def _refresh(self) -> None:
        """Reads the tokens file if it has changed. One that cannot be read lets nobody in: it may revoke somebody."""
        if self._path is None:
            return
        stamp = _stamp_of(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            tokens = read_tokens(self._path)
        except ConfigError as problem:
            logger.error("Nobody can sign in: %s", problem)
            tokens = ()
        else:
            if not tokens:
                logger.warning("Nobody can sign in: %s has no token; llama-vid token create NAME", self._path.name)
        self._tokens = {token.sha256: token for token in tokens}
        self._by_id = {token.id: token for token in tokens}
        if self._sessions is not None and tokens:
            self._sessions.keep(self._by_id)


def _stamp_of(path: Path) -> tuple[int, ...] | None:
    """What changes when a file or its mode does; None when there is none."""
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino
