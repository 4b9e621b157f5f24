"""Browsers that are signed in: a random cookie each, kept as its hash beside the tokens file, over restarts too."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from llama_vid.access_tokens import digest, write_private

logger = logging.getLogger(__name__)

#: A browser signs in again after so long: a month, so that a tablet on the wall is not forgotten every week.
LIFETIME_S: Final = 30 * 86400
#: Browsers of one token, and of all: people's devices, many times over. The oldest are signed out.
MOST_OF_TOKEN: Final = 64
MOST: Final = 1024


class Session(BaseModel):
    """A signed-in browser. `sha256` is its cookie's hash, `until` epoch seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    token_id: str
    until: float


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sessions: list[Session]


@dataclass(slots=True)
class Sessions:
    """The signed-in browsers, oldest first. A file that cannot be read or written only costs signing in again."""

    path: Path
    clock: Callable[[], float] = time.time
    _open: dict[str, Session] | None = None

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie; None for one that is unknown, signed out, or over."""
        session = self._all().get(digest(cookie))
        return session if session is not None and session.until > self.clock() else None

    def holds(self, sha256: str) -> bool:
        """Whether the session with this hash is still signed in."""
        session = self._all().get(sha256)
        return session is not None and session.until > self.clock()

    def begin(self, token_id: str) -> str:
        """Signs a browser in and gives its cookie."""
        cookie = secrets.token_urlsafe(32)
        sessions = self._all()
        session = Session(sha256=digest(cookie), token_id=token_id, until=self.clock() + LIFETIME_S)
        sessions[session.sha256] = session
        own = [key for key, other in sessions.items() if other.token_id == token_id]
        for key in own[:-MOST_OF_TOKEN]:
            del sessions[key]
        for key in list(sessions)[:-MOST]:
            del sessions[key]
        self._save()
        return cookie

    def end(self, cookie: str) -> None:
        """Signs a browser out; the cookie is worth nothing from then on."""
        if self._all().pop(digest(cookie), None) is not None:
            self._save()

    def keep(self, token_ids: Collection[str]) -> None:
        """Signs out the browsers of all other tokens, and those whose time is over."""
        sessions, now = self._all(), self.clock()
        gone = [key for key, each in sessions.items() if each.token_id not in token_ids or each.until <= now]
        for key in gone:
            del sessions[key]
        if gone:
            self._save()

    def _all(self) -> dict[str, Session]:
        if self._open is None:
            self._open = {}
            try:
                read = _File.model_validate_json(self.path.read_bytes())
                self._open = {session.sha256: session for session in read.sessions[-MOST:]}
            except FileNotFoundError:
                pass
            except (OSError, ValidationError):
                logger.warning("%s cannot be read; browsers sign in again", self.path)
        return self._open

    def _save(self) -> None:
        try:
            write_private(self.path, _File(sessions=list(self._all().values())).model_dump_json())
        except OSError as problem:
            logger.warning(
                "%s cannot be written (%s); browsers sign in again after a restart", self.path, problem.strerror
            )
