"""`doctor`: looks at this machine and says what is wrong and how to mend it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

import typer

from llama_vid.commands.inventory import find_bundles, find_parts
from llama_vid.commands.terminal import Json, busy, write_json

MEMORY_WANTED_GB = 2.0  # mini with its caches and an hour of video
DISK_WANTED_GB = 1.0
DEFAULT_PORT = 8710
SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's GObject bindings belong to the system's own Python


@dataclass(frozen=True, slots=True)
class Check:
    """One look: its subject, how it is, and what to do ('' if nothing). A `warning` limits, a `problem` stops."""

    subject: str
    status: Literal["ok", "warning", "problem"]
    detail: str
    fix: str = ""


def doctor(as_json: Json = False) -> None:
    """Look at this machine; say what is wrong and how to mend it. Exits 1 if the program cannot run here."""
    with busy("Looking"):
        checks = [check for look in LOOKS for check in look()]
    ok = all(check.status != "problem" for check in checks)
    if as_json:
        write_json({"ok": ok, "checks": checks})
    else:
        for check in checks:
            print(f"{check.status:8} {check.subject}: {check.detail}" + (f"; {check.fix}" if check.fix else ""))
    if not ok:
        raise typer.Exit(1)


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
    free = _available_gb()
    if free is None:
        yield Check("memory", "ok", "size unknown on this system")
    elif free < MEMORY_WANTED_GB:
        fix = "close other programs, or set memory.context_tokens lower"
        yield Check("memory", "warning", f"{free:.1f} GB free, {MEMORY_WANTED_GB:.0f} GB wanted", fix)
    else:
        yield Check("memory", "ok", f"{free:.1f} GB free")
    if importlib.util.find_spec("torch") is not None:
        import torch

        name = torch.cuda.get_device_name() if torch.cuda.is_available() else "none: runs on the processor"
        yield Check("gpu", "ok", name)
    disk = shutil.disk_usage(Path.cwd()).free / 1e9
    fix = "" if disk >= DISK_WANTED_GB else "free some space, or run elsewhere"
    yield Check("disk", "ok" if not fix else "warning", f"{disk:.1f} GB free here", fix)


def look_at_port() -> Iterator[Check]:
    """The server's port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", DEFAULT_PORT))
        except OSError:
            fix = "stop what uses it, or set server.port"
            yield Check("port", "warning", f"{DEFAULT_PORT} is in use", fix)
        else:
            yield Check("port", "ok", f"{DEFAULT_PORT} is free")


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


LOOKS: tuple[Callable[[], Iterator[Check]], ...] = (
    look_at_python,
    look_at_packages,
    look_at_model,
    look_at_machine,
    look_at_port,
    look_at_peers,
)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _available_gb() -> float | None:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 / 1e9
    return None
