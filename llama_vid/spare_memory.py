"""Memory that is not needed any more goes back to the system.

Two things keep it. glibc's allocator keeps what was freed for the next request; with a model's tensors among thousands
of small objects that was 170 MB after two minutes of forty clients. And Python finds garbage that holds itself in a
ring only when it looks through everything; it looks once there is a quarter more of it than of all else, and a loaded
model is half a million objects. So what a server has loaded is set apart (`settled`), and what is free is given back
every EVERY_S seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

#: Giving back takes 2 to 14 ms (measured; up to 87 MB), and what is needed again some more.
EVERY_S: Final = 30.0


def give_back() -> bool:
    """Has the C library give what is free back to the system; False where it is not glibc, which alone has a call."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        return True
    return False


def settled(load: Callable[[], T]) -> Callable[[], T]:
    """A loader whose work is then taken for lasting: Python looks for garbage in what comes after it alone, more often
    and in milliseconds. For a process that loads once, since nothing of it is collected again.
    """

    def load_and_settle() -> T:
        loaded = load()
        gc.collect()
        gc.freeze()
        give_back()
        return loaded

    return load_and_settle


async def keep_giving_back(every_s: float = EVERY_S) -> None:
    """Gives back every so often, until cancelled; returns at once where that is not possible."""
    while True:
        if not await asyncio.to_thread(give_back):
            return
        await asyncio.sleep(every_s)
