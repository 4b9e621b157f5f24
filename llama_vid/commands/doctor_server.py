"""`doctor`, of a server's configuration: port, tokens, certificate, memory folder, clock."""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llama_vid.commands.checks import Check
from llama_vid.commands.failure import one_line
from llama_vid.errors import ConfigError

if TYPE_CHECKING:
    from llama_vid.settings import Config

#: The disk is measured with so many bytes, in pieces of which each is synced as an alert is.
PROBE_BYTES, PROBE_PIECES = 16 << 20, 8
#: Megabytes a second that a disk should take: forty busy cameras' worth, and what an SD card still does.
MB_WANTED: Final = 2.0
#: Seconds that a synced write may take before alerts are told late.
SYNC_WANTED: Final = 0.5
#: Free space, in GB, with which a server should not start.
LEAST_GB: Final = 1.0
#: Days before the end of a certificate from which it is time to renew it.
RENEW_DAYS: Final = 14
#: adjtimex(2): the clock is not synchronised.
TIME_ERROR: Final = 5
#: Files of the memory folder that are added up; a week of one busy camera.
FILES_COUNTED: Final = 600_000


def look_at_bind(config: Config) -> Iterator[Check]:
    """Where the port listens, who may come in, and over what."""
    from llama_vid.config import check_bind

    server = config.server
    where = f"{server.host}:{server.port}"
    said = _Said()
    logger = logging.getLogger("llama_vid.config")
    logger.addHandler(said)
    propagate, logger.propagate = logger.propagate, False
    try:
        check_bind(server)
    except ConfigError as problem:
        detail, _, fix = one_line(problem).partition("; ")
        yield Check("access", "problem", detail, fix or "see docs/access.md")
    else:
        for message in said.messages:
            yield Check("access", "warning", message, "see docs/access.md")
        if not said.messages:
            who = "this machine only" if server.loopback else "others too"
            signing = "with tokens" if server.tokens_file is not None else "nobody has to sign in"
            yield Check("access", "ok", f"{where}: {who}, {signing}")
    finally:
        logger.removeHandler(said)
        logger.propagate = propagate
    yield from _certificate(config)
    webcams = [name for name, camera in config.cameras.items() if camera.publishable]
    if webcams and not server.loopback and server.tls is None:
        yield Check(
            "https",
            "warning",
            f"browsers give webcam and screen to pages over HTTPS or on localhost alone ({', '.join(webcams)} waits "
            "for one)",
            "set server.tls: {cert: …, key: …}",
        )


def _certificate(config: Config) -> Iterator[Check]:
    tls = config.server.tls
    if tls is None:
        return
    from cryptography import x509

    try:
        ends = x509.load_pem_x509_certificate(tls.cert.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return  # said by look_at_bind
    days = (ends - datetime.now(UTC)).total_seconds() / 86_400
    if days < 0:
        yield Check("certificate", "problem", f"{tls.cert} ran out on {ends:%Y-%m-%d}", "renew it")
    elif days < RENEW_DAYS:
        yield Check("certificate", "warning", f"{tls.cert} runs out on {ends:%Y-%m-%d}", "renew it, then start again")
    else:
        yield Check("certificate", "ok", f"good until {ends:%Y-%m-%d}")


def look_at_port(host: str, port: int, *, tls: bool = False) -> Iterator[Check]:
    """Whether the server could open its port; its own server may have it already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as problem:
        if _is_ours(host, port, tls):
            yield Check("port", "ok", f"a llama-vid server runs on {port} already")
        else:
            fix = "stop what uses it, or set server.port"
            if isinstance(problem, PermissionError):
                fix = "set server.port to 1024 or more, or let the service manager give it the port"
            why = problem.strerror or "the address is not one of this machine; set server.host"
            yield Check("port", "warning", f"{port} on {host} cannot be opened: {why}", fix)
    else:
        yield Check("port", "ok", f"{port} is free")


def _is_ours(host: str, port: int, tls: bool) -> bool:
    """Whether a llama-vid server answers there."""
    import httpx

    at = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = f"{'https' if tls else 'http'}://{f'[{at}]' if ':' in at else at}:{port}/readyz"
    try:
        # Only asked what it is; nothing secret is sent.
        answer = httpx.get(url, timeout=2, trust_env=False, verify=False)
        return "cameras" in answer.json()
    except (httpx.HTTPError, ValueError):
        return False


def look_at_memory(config: Config) -> Iterator[Check]:
    """The folder that memory is kept in: who has it, room, and how fast it takes what is written."""
    folder, wanted = config.memory_folder, config.memory.retention_gb
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        megabytes, sync = measured(there)
    except OSError as problem:
        yield Check(
            "memory folder",
            "problem",
            f"{folder} cannot be written ({problem.strerror})",
            "make it writable for this user, or set memory.path to another folder",
        )
        return
    free, kept = shutil.disk_usage(there).free / 1e9, kept_bytes(folder) / 1e9
    room = f"{free:.1f} GB free, {kept:.1f} GB kept, up to {wanted:g} GB wanted (memory.retention_gb)"
    if free < LEAST_GB:
        yield Check("memory folder", "problem", f"{folder}: {room}", "free some space, or set memory.path elsewhere")
    elif free + kept < wanted:
        fix = f"free some space, or set memory.retention_gb to {max(1, int(0.9 * (free + kept)))}"
        yield Check("memory folder", "warning", f"{folder}: {room}", fix)
    else:
        yield Check("memory folder", "ok", f"{folder}: {room}")
    speed = f"{megabytes:.0f} MB/s, {1000 * sync:.0f} ms for a synced write"
    slow = megabytes < MB_WANTED or sync > SYNC_WANTED
    fix = "set memory.path to a faster disk; an SD card or a network folder is often the cause" if slow else ""
    yield Check("disk speed", "warning" if slow else "ok", speed, fix)


def measured(folder: Path) -> tuple[float, float]:
    """Megabytes a second that a folder's disk takes, and seconds of a small synced write. Raises OSError."""
    piece = os.urandom(PROBE_BYTES // PROBE_PIECES)  # random: some disks press zeros together
    with tempfile.TemporaryFile(dir=folder) as file:
        began = time.perf_counter()
        for _ in range(PROBE_PIECES):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        took = time.perf_counter() - began
        began = time.perf_counter()
        file.write(b"alert")
        file.flush()
        os.fsync(file.fileno())
        return PROBE_BYTES / 1e6 / max(took, 1e-6), time.perf_counter() - began


def kept_bytes(folder: Path) -> int:
    """Bytes of the files below a folder; of a very large one, of its first FILES_COUNTED."""
    total = count = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except OSError:
                continue
            count += 1
        if count > FILES_COUNTED:
            break
    return total


def look_at_clock(zone: str | None) -> Iterator[Check]:
    """Whether times will be right: the clock's synchronisation, its date, the time zone."""
    newest = Path(__file__).stat().st_mtime
    if time.time() < newest - 86_400:
        now = datetime.now(UTC)
        yield Check("clock", "problem", f"it says {now:%Y-%m-%d}, before this program was installed", _SYNC)
    elif (good := synchronised()) is False:
        yield Check("clock", "warning", "not synchronised: times of live cameras drift, and may jump", _SYNC)
    else:
        how = "synchronised" if good else "whether it is synchronised is not known here"
        yield Check("clock", "ok", f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}, {how}")
    if zone is None and time.tzname == ("UTC", "UTC"):
        yield Check(
            "timezone",
            "warning",
            "not set, and this machine's is UTC: 'yesterday at 3 pm' and schedules mean UTC",
            "set timezone: Europe/Berlin (yours) in the configuration",
        )
    else:
        yield Check("timezone", "ok", zone or f"this machine's ({'/'.join(dict.fromkeys(time.tzname))})")


_SYNC: Final = "turn on time synchronisation: timedatectl set-ntp true (or chrony)"


def synchronised() -> bool | None:
    """Whether the kernel says that its clock follows others (adjtimex(2)); None where it does not say."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):  # not Linux
        return None
    state = int(adjtimex(ctypes.create_string_buffer(512)))  # all zeros: nothing is set; larger than struct timex
    return None if state < 0 else state != TIME_ERROR


class _Said(logging.Handler):
    """Keeps the messages of warnings instead of printing them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
