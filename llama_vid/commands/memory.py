"""`forget` and `export`: a span of a camera's past, deleted for good or taken along.

Both work on the memory folder while no server has it, and through the server while one does: only the server knows what
is in its own memory, too.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final
from zoneinfo import ZoneInfo

import typer

from llama_vid.commands.live import DEFAULT_CONFIG
from llama_vid.commands.moments import HOW, length, moment, spelled
from llama_vid.commands.terminal import Json, busy, write_json
from llama_vid.errors import ConfigError, LlamaVidError

if TYPE_CHECKING:
    import httpx

    from llama_vid.memory.journal import CameraJournal
    from llama_vid.settings import Config

#: Seconds that a server may take to forget a week, or to begin an export.
ANSWER_S: Final = 120.0

Camera = Annotated[str, typer.Argument(metavar="CAMERA", help="The camera's name, also of one that is gone.")]
Since = Annotated[str, typer.Option("--from", metavar="TIME", help=f"From when: {HOW}.")]
Until = Annotated[str, typer.Option("--to", metavar="TIME", help="Until when, written the same way.")]
File = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help=f"The configuration; by default {DEFAULT_CONFIG} if it is here."
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="LLAMA_VID_URL",
        help="The running server's address, where the configuration does not say it. Its token: LLAMA_VID_TOKEN.",
    ),
]


def forget(
    camera: Camera,
    start: Since,
    end: Until,
    config: File = None,
    url: Url = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to go on.")] = False,
    as_json: Json = False,
) -> None:
    """Forget for good what a camera saw and heard between two times: memory, timeline, transcript, alerts, pictures."""
    settings, first, last = _read(camera, config, start, end)
    zone = ZoneInfo(settings.timezone) if settings.timezone else None
    if not yes and not as_json and sys.stdin.isatty():
        what = f"Forget what {camera} saw from {spelled(first, zone)} to {spelled(last, zone)}, for good?"
        typer.confirm(what, abort=True, err=True)
    with busy("Forgetting"):
        found = _forgotten(settings, url, camera, first, last)
    found = {"camera": camera, "from": _number(first), "to": _number(last), **found}
    if as_json:
        write_json(found)
        return
    print(
        f"{camera}: forgot {length(found['forgotten_s'])} of memory, {found['pictures']} pictures, "
        f"{found['scenes']} scenes, {found['records']} lines and records, {found['alerts']} alerts"
    )
    if not found["scrubbed"]:
        print("warning: the database's log still holds it; forget the same span again in a minute", file=sys.stderr)


def export(
    camera: Camera,
    start: Since,
    end: Until,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="ZIP", help="The file; by default CAMERA.zip.")
    ] = None,
    config: File = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Write what is kept of a camera between two times into a ZIP file: pictures, timeline, events, transcript."""
    settings, first, last = _read(camera, config, start, end)
    path = output or Path(f"{camera}.zip")
    part = path.with_name(path.name + ".part")
    try:
        with busy("Exporting"):
            with part.open("xb") as file:
                os.chmod(part, 0o600)  # what a camera saw is not for everybody on this machine
                _export(settings, url, camera, first, last, file)
            part.replace(path)
    except FileExistsError:
        raise ConfigError(f"{part} is there already: an export that goes on, or one that broke; delete it") from None
    except OSError as problem:
        part.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written ({problem.strerror}); give another file with -o") from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    size = path.stat().st_size
    if as_json:
        write_json({"camera": camera, "from": _number(first), "to": _number(last), "file": str(path), "bytes": size})
    else:
        print(f"{path}: {size / 1e6:.1f} MB")


def _read(camera: str, config: Path | None, start: str, end: str) -> tuple[Config, float, float]:
    from llama_vid.config import load_config
    from llama_vid.settings import CAMERA_ID

    settings = load_config(DEFAULT_CONFIG if config is None and DEFAULT_CONFIG.is_file() else config)
    if not CAMERA_ID.fullmatch(camera):
        raise ConfigError(f"{camera!r} is not a camera's name; names are letters, digits, - and _")
    zone = ZoneInfo(settings.timezone) if settings.timezone else None
    first, last = moment(start, zone), moment(end, zone)
    if last <= first:
        raise ConfigError(f"--to {end} is not after --from {start}; swap them")
    return settings, first, last


def _number(seconds: float) -> float | None:
    return seconds if abs(seconds) != float("inf") else None


def _forgotten(settings: Config, url: str | None, camera: str, first: float, last: float) -> dict[str, Any]:
    with _journal(settings, url, camera) as kept:
        if kept is not None:
            found = kept.forget(first, last).result(ANSWER_S)
            return {
                "forgotten_s": round(found.seconds, 3),
                "pictures": found.pictures,
                "entries": found.entries,
                "scenes": found.scenes,
                "records": found.records,
                "alerts": found.alerts,
                "scrubbed": found.scrubbed,
            }
    with _server(settings, url) as server:
        answer = server.request("DELETE", f"/api/cameras/{camera}/memory", params=_span(first, last))
        tree: dict[str, Any] = _checked(answer).json()
        return tree


def _export(settings: Config, url: str | None, camera: str, first: float, last: float, file: BinaryIO) -> None:
    with _journal(settings, url, camera) as kept:
        if kept is not None:
            from llama_vid.memory.exporting import exported

            for piece in exported(kept, first, last):
                file.write(piece)
            return
    with (
        _server(settings, url) as server,
        server.stream("GET", f"/api/cameras/{camera}/export", params=_span(first, last)) as answer,
    ):
        if not answer.is_success:
            answer.read()
        for piece in _checked(answer).iter_bytes():
            file.write(piece)


@contextlib.contextmanager
def _journal(settings: Config, url: str | None, camera: str) -> Iterator[CameraJournal | None]:
    """The camera's part of the memory folder; None where a running server has it, or `url` names one."""
    folder = settings.memory_folder
    if url is not None:
        yield None
        return
    if not (folder / "journal.db").exists():
        raise ConfigError(
            f"there is no memory in {folder} (memory.path); give the server's configuration with --config"
        )
    if _is_taken(folder):
        yield None
        return
    from llama_vid.server import open_journal

    with contextlib.closing(open_journal(settings)) as journal:
        if not journal.state.ok:
            raise LlamaVidError(journal.state.reason)
        names = journal.cameras()
        if camera not in names:
            known = ", ".join(names[:20]) or "none"
            raise ConfigError(f"nothing is kept of a camera {camera!r} in {folder}; cameras there: {known}")
        yield journal.camera(camera)


def _is_taken(folder: Path) -> bool:
    """Whether a process has the folder now."""
    import fcntl

    try:
        with (folder / "journal.lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
    except OSError:
        pass
    return False


@contextlib.contextmanager
def _server(settings: Config, url: str | None) -> Iterator[httpx.Client]:
    """A client of the running server. Raises LlamaVidError where none answers."""
    import httpx

    server = settings.server
    verify: ssl.SSLContext | bool = True
    if url is None:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)
        host = f"[{host}]" if ":" in host else host
        url = f"{'https' if server.tls else 'http'}://{host}:{server.port}"
        if server.tls is not None:  # its own certificate, under whatever name it has, and no other
            verify = ssl.create_default_context(cafile=str(server.tls.cert))
            verify.check_hostname = False
    token = os.environ.get("LLAMA_VID_TOKEN", "").strip()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    local = any(name in url for name in ("//127.", "//localhost", "//[::1]"))
    try:
        with httpx.Client(
            base_url=url, headers=headers, timeout=ANSWER_S, verify=verify, trust_env=not local
        ) as client:
            yield client
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise LlamaVidError(
            f"the memory in {settings.memory_folder} is in use by another process, and no server answers at {url} "
            f"({problem or type(problem).__name__}); stop that process, or give the server's address with --url"
        ) from None


def _span(first: float, last: float) -> dict[str, float]:
    return {"from": first if abs(first) != float("inf") else 0.0, "to": last}


def _checked(answer: httpx.Response) -> httpx.Response:
    """The answer, if it is good. Raises LlamaVidError with what the server says."""
    if answer.is_success:
        return answer
    try:
        said = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        said = f"it answered with status {answer.status_code}; is it a llama-vid server?"
    hint = " Give a token with the scope admin in LLAMA_VID_TOKEN." if answer.status_code in (401, 403) else ""
    raise LlamaVidError(f"the server refused: {said}{hint}")
