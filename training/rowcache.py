"""Arrays that are computed once, row by row, and memory-mapped afterwards; an interrupted computation goes on.

`name.npy` holds the rows, `name.done` how many of them are finished.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from llama_vid.errors import ConfigError

Rows = Callable[[int, int], npt.NDArray[Any]]


def filled(
    out: Path, shape: tuple[int, ...], dtype: npt.DTypeLike, rows: Rows, *, batch: int, leading: int = 1
) -> npt.NDArray[Any]:
    """The array of `shape` in `out`, its missing rows computed in batches by `rows(start, stop)`.

    The first `leading` axes together count the rows. Raises ConfigError if `out` holds another shape, or the disk has
    no room for it.
    """
    total = math.prod(shape[:leading])
    done_file = out.with_suffix(".done")
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.exists():
        found: npt.NDArray[Any] = np.load(out, mmap_mode="r")
        if found.shape != shape or found.dtype != np.dtype(dtype):
            raise ConfigError(
                f"{out} holds {found.shape} {found.dtype}, expected {shape} {np.dtype(dtype)}: the data have changed; "
                "delete it and run again"
            )
        done = int(done_file.read_text()) if done_file.exists() else 0
        if done >= total:
            return found
        array = np.lib.format.open_memmap(out, mode="r+")
    else:
        needed, free = math.prod(shape) * np.dtype(dtype).itemsize, shutil.disk_usage(out.parent).free
        if needed > free:  # a sparse file would only fail when it is full, and then with a bus error
            raise ConfigError(f"{out} needs {needed / 1e9:.1f} GB, its disk has {free / 1e9:.1f} GB free; make room")
        done_file.unlink(missing_ok=True)
        done, array = 0, np.lib.format.open_memmap(out, mode="w+", dtype=np.dtype(dtype), shape=shape)
    flat = array.reshape(total, *shape[leading:])
    for start in track(
        range(done, total, batch), description=out.stem, console=Console(stderr=True), total=-((done - total) // batch)
    ):
        stop = min(start + batch, total)
        flat[start:stop] = rows(start, stop)
        done_file.write_text(str(stop))
    array.flush()
    return array
