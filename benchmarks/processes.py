"""What processes use, from Linux' /proc: processor time, resident memory, and which a program has started."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path


def own_cpu_s() -> float:
    """Processor seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cpu_s(pid: int) -> float:
    """Processor seconds of a process. Raises OSError if there is none."""
    return _cpu_s(_stat(pid))


def resident_mb(pid: int | None = None) -> float:
    """Resident memory of a process (this one if none is named) now, in 10^6 bytes. Raises OSError if there is none."""
    pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def family() -> dict[int, float]:
    """This process and all that it started, by number, with their processor seconds."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):  # one that ends meanwhile
                number = int(folder.name)
                stat = _stat(number)
                used[number] = _cpu_s(stat)
                parents[number] = int(stat[1])
    ours = {os.getpid()}
    while grown := {number for number, parent in parents.items() if parent in ours} - ours:
        ours |= grown
    return {number: used[number] for number in ours}


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _cpu_s(stat: list[str]) -> float:
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
