"""`doctor`: looks at this machine, and at what a configuration names, and says what is wrong and how to mend it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated

import typer

from llama_vid.commands.checks import Check, Look
from llama_vid.commands.doctor_peers import look_at_broker, look_at_cameras, look_at_devices
from llama_vid.commands.doctor_remote import look_at_remote_model
from llama_vid.commands.doctor_server import look_at_bind, look_at_clock, look_at_memory
from llama_vid.commands.doctor_server import look_at_port as server_port
from llama_vid.commands.failure import one_line
from llama_vid.commands.inventory import find_bundles, find_parts
from llama_vid.commands.live import DEFAULT_CONFIG
from llama_vid.commands.terminal import Json, busy, write_json
from llama_vid.errors import ConfigError
from llama_vid.needs import free_bytes

MEMORY_WANTED_GB = 2.0  # mini with its caches and an hour of video
DISK_WANTED_GB = 1.0
DEFAULT_PORT = 8710
SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's GObject bindings belong to the system's own Python


Configuration = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help=f"The server's configuration, with its cameras and broker; by default {DEFAULT_CONFIG} if it is here.",
    ),
]


def doctor(config: Configuration = None, as_json: Json = False) -> None:
    """Look at this machine and a server's configuration; say what is wrong and how to mend it. Exits 1 if the program
    cannot run so.
    """
    with busy("Looking"):
        checks = [check for look in looks(config) for check in look()]
    ok = all(check.status != "problem" for check in checks)
    if as_json:
        write_json({"ok": ok, "checks": checks})
    else:
        for check in checks:
            print(f"{check.status:8} {check.subject}: {check.detail}" + (f"; {check.fix}" if check.fix else ""))
    if not ok:
        raise typer.Exit(1)


def looks(file: Path | None) -> Iterator[Look]:
    """What is looked at: the machine, and what the configuration names."""
    yield from MACHINE
    yield look_at_devices
    file = DEFAULT_CONFIG if file is None and DEFAULT_CONFIG.is_file() else file
    if file is None:
        yield look_at_port
        yield partial(look_at_clock, None)
    else:
        yield from _configured(file)
    yield look_at_peers


def _configured(file: Path) -> Iterator[Look]:
    from llama_vid.config import load_config

    try:
        config = load_config(file)
    except ConfigError as problem:
        wrong = Check("configuration", "problem", one_line(problem), "mend it; try again with: llama-vid config check")
        yield lambda: iter([wrong])
        return
    server = config.server
    names = ", ".join(config.cameras) or "none"
    yield lambda: iter([Check("configuration", "ok", f"{file} is right; cameras: {names}")])
    yield partial(look_at_bind, config)
    yield partial(server_port, server.host, server.port, tls=server.tls is not None)
    yield partial(look_at_memory, config)
    yield partial(look_at_clock, config.timezone)
    yield partial(look_at_broker, config)
    yield partial(look_at_remote_model, config)
    yield partial(look_at_cameras, config)


def look_at_python() -> Iterator[Check]:
    """The interpreter."""
    yield Check("python", "ok", f"{platform.python_version()} ({sys.executable})")


def look_at_packages() -> Iterator[Check]:
    """The pinned packages."""
    try:
        wanted = requires("llama-vid-live") or []
    except PackageNotFoundError:
        yield Check("packages", "warning", "llama-vid-live itself is not installed", "run: make setup")
        return
    missing, other = [], []
    pins = [line.split("==") for line in wanted if "extra ==" not in line and "==" in line]
    for name, pinned in pins:
        try:
            found = version(name)
        except PackageNotFoundError:
            missing.append(name)
            continue
        if found != pinned:
            other.append(f"{name} {found} (tested with {pinned})")
    if missing:
        yield Check("packages", "problem", f"missing: {', '.join(missing)}", "run: pip install -r requirements.txt")
    if other:
        yield Check(
            "packages", "warning", f"other versions: {', '.join(other)}", "run: pip install -r requirements.txt"
        )
    if not missing and not other:
        yield Check("packages", "ok", f"{len(pins)} as pinned")


def look_at_model() -> Iterator[Check]:
    """The bundle and its pretrained parts."""
    bundles = find_bundles()
    if bundles:
        yield Check("bundles", "ok", ", ".join(f"{item.name} ({item.size / 1e6:.0f} MB)" for item in bundles))
    else:
        yield Check("bundles", "problem", "none in this installation", "install llama-vid-live again")
    parts = find_parts()
    wrong = [item for item in parts if item.state != "here"]
    for item in wrong:
        yield Check(f"part {item.name}", "problem", f"{item.state}; {item.detail}", item.fix)
    if not wrong:
        yield Check("parts", "ok", f"{len(parts)} pretrained parts as pinned")


def look_at_machine() -> Iterator[Check]:
    """Processor, memory, graphics card and disk."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    flags = _read("/proc/cpuinfo")
    bf16 = (
        "bfloat16 in hardware" if "avx512_bf16" in flags or "amx_bf16" in flags else "no bfloat16 in hardware (slower)"
    )
    yield Check("processor", "ok", f"{cores} core{'s' if cores != 1 else ''}, {bf16}")
    free = free_bytes()
    if free is None:
        yield Check("memory", "ok", "size unknown on this system")
    elif free / 1e9 < MEMORY_WANTED_GB:
        fix = "close other programs, or set memory.context_tokens lower"
        yield Check("memory", "warning", f"{free / 1e9:.1f} GB free, {MEMORY_WANTED_GB:.0f} GB wanted", fix)
    else:
        yield Check("memory", "ok", f"{free / 1e9:.1f} GB free")
    if importlib.util.find_spec("torch") is not None:
        import torch

        name = torch.cuda.get_device_name() if torch.cuda.is_available() else "none: runs on the processor"
        yield Check("gpu", "ok", name)
    disk = shutil.disk_usage(Path.cwd()).free / 1e9
    fix = "" if disk >= DISK_WANTED_GB else "free some space, or run elsewhere"
    yield Check("disk", "ok" if not fix else "warning", f"{disk:.1f} GB free here", fix)


def look_at_port() -> Iterator[Check]:
    """The server's port, where nothing is configured."""
    yield from server_port("127.0.0.1", DEFAULT_PORT)


def look_at_peers() -> Iterator[Check]:
    """What only the demo's RTSP camera and the tests need."""
    fix = "run as root: apt-get install"
    if shutil.which("ffmpeg") is None:
        yield Check("ffmpeg", "warning", "not here: tests that need it skip", f"{fix} ffmpeg")
    if shutil.which("chromium") is None and shutil.which("google-chrome") is None:
        yield Check("chromium", "warning", "not here: the browser tests skip", f"{fix} chromium")
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if (
        not Path(SYSTEM_PYTHON).exists()
        or subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, timeout=30, check=False).returncode
    ):
        detail = "not here: the demo plays its film from the file instead of over RTSP"
        yield Check("rtsp server", "warning", detail, f"{fix} gir1.2-gst-rtsp-server-1.0 python3-gi")
    else:
        yield Check("rtsp server", "ok", "GStreamer's, for the demo and the tests")


MACHINE: tuple[Look, ...] = (look_at_python, look_at_packages, look_at_model, look_at_machine)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
