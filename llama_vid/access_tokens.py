"""The tokens file: who may come in, as hashes. Written by `llama-vid token`, read by the server whenever it changes.

A token is 256 random bits, so its plain SHA-256 cannot be guessed from the file; slow hashes are for passwords.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from llama_vid.access import SCOPES, Access, Scope
from llama_vid.errors import ConfigError

#: Every token begins with it, so that one that got into a log or a repository is recognised.
PREFIX: Final = "lvt_"
#: More is no tokens file.
MAX_FILE_BYTES: Final = 4_000_000
#: The longest life of a token that ends: ten years.
MOST_DAYS: Final = 3650

CameraName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class Token(BaseModel):
    """A token as the file has it: everything but the token itself. `cameras` null: all."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: str = Field(pattern=r"^[a-z0-9]{4,32}$")
    name: str = Field(min_length=1, max_length=64)
    scopes: list[Scope] = Field(min_length=1)
    cameras: Annotated[list[CameraName], Field(min_length=1)] | None = None
    created: AwareDatetime
    expires: AwareDatetime | None = None
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not value.isprintable() or value != value.strip():
            raise ValueError("a name is printable, without blanks around it")
        return value

    def expired(self, now: datetime | None = None) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= (now or datetime.now(UTC))

    def access(self, session: str | None = None) -> Access:
        """The rights that it gives."""
        cameras = frozenset(self.cameras) if self.cameras is not None else None
        return Access(self.name, frozenset(self.scopes), cameras, self.id, session)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    version: Literal[1] = 1
    tokens: list[Token] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made, and its text, which is nowhere else."""

    token: Token
    secret: str

    def __repr__(self) -> str:
        return f"NewToken({self.token!r})"


def digest(secret: str) -> str:
    """How a token, or a browser's cookie, is kept: its SHA-256 in hexadecimal."""
    return hashlib.sha256(secret.encode("utf-8", errors="replace")).hexdigest()


def read_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens of a file. Raises ConfigError: it cannot be read, is none, or others than its owner may write it."""
    try:
        info = path.stat()
        if info.st_mode & 0o022:
            raise ConfigError(f"{path}: others may write this tokens file, and so let themselves in; run: chmod 600")
        if info.st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes, so not a tokens file")
        text = path.read_bytes()
    except OSError as problem:
        raise ConfigError(
            f"{path}: the tokens file cannot be read ({problem.strerror}); make a token: llama-vid token create NAME"
        ) from None
    try:
        tokens = _File.model_validate_json(text).tokens
    except (ValidationError, ValueError) as problem:
        why = ""
        if isinstance(problem, ValidationError):
            first = problem.errors(include_url=False, include_input=False)[0]
            why = f" ({'.'.join(str(part) for part in first['loc']) or 'the file'}: {first['msg']})"
        raise ConfigError(f"{path}: not a tokens file{why}; mend it, or make new tokens in another file") from None
    return tuple(tokens)


def create_token(
    path: Path,
    name: str,
    scopes: Iterable[Scope] = ("watch", "ask"),
    cameras: Iterable[str] | None = None,
    days: float | None = None,
) -> NewToken:
    """Makes a token and adds it to the file, which is made if it is not there (mode 0600).

    Raises ConfigError: the name is taken or no name, a camera's name is none, the file cannot be written.
    """
    secret = PREFIX + secrets.token_urlsafe(32)
    now = datetime.now(UTC).replace(microsecond=0)
    if days is not None and not 0 < days <= MOST_DAYS:
        raise ConfigError(f"token: days: from a moment to {MOST_DAYS}; leave it out for a token without an end")
    wanted = set(scopes)
    try:
        token = Token(
            id=secrets.token_hex(4),
            name=name,
            scopes=[scope for scope in SCOPES if scope in wanted],
            cameras=sorted(set(cameras)) if cameras is not None else None,
            created=now,
            expires=now + timedelta(days=days) if days is not None else None,
            sha256=digest(secret),
        )
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"token: {where}: {first['msg'].removeprefix('Value error, ')}; give another one") from None
    with _changing(path) as tokens:
        if any(other.name == name or other.id == name for other in tokens):
            raise ConfigError(f"{path}: there is a token {name!r} already; revoke it first, or give another name")
        tokens.append(token)
    return NewToken(token, secret)


def revoke_token(path: Path, name: str) -> Token:
    """Takes a token, by its name or id, out of the file. Raises ConfigError when it is not there."""
    with _changing(path) as tokens:
        found = next((token for token in tokens if name in (token.name, token.id)), None)
        if found is None:
            known = ", ".join(token.name for token in tokens) or "none"
            raise ConfigError(f"{path}: there is no token {name[:64]!r}; there are: {known}")
        tokens.remove(found)
    return found


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[list[Token]]:
    """The file's tokens, written back at the end of the block; one program at a time."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as problem:
        raise ConfigError(f"{path.parent}: no folder for a tokens file ({problem.strerror}); make it first") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        tokens = list(read_tokens(path)) if path.exists() else []
        yield tokens
        try:
            write_private(path, _File(tokens=tokens).model_dump_json(indent=2, exclude_none=True) + "\n")
        except OSError as problem:
            raise ConfigError(f"{path}: the tokens file cannot be written ({problem.strerror})") from None
    finally:
        os.close(folder)


def write_private(path: Path, text: str) -> None:
    """Writes a file at once or not at all, for its owner alone; one that is there keeps its owner. Raises OSError."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):  # no such file yet, or not ours to give away
            there = path.stat()
            if (there.st_uid, there.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(name, there.st_uid, there.st_gid)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
