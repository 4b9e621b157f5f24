"""The journal of a recording that is longer than memory holds in detail: in a temporary folder, gone with the film."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from llama_vid.memory.journal import CameraJournal, Journal

#: Seconds that rows may wait: nobody restarts a film where it was left, so few and large writes do.
FLUSH_S: Final = 2.0
#: Frames that may wait for the disk, the journal's queue being bounded.
AHEAD: Final = 512
FOREVER: Final = 36_500.0  # days
EVERYTHING: Final = 1e6  # GB


class FilmArchive:
    """A journal of its own for one film."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="llama-vid-film-", ignore_cleanup_errors=True)
        self._journal = Journal(
            Path(self._folder.name), retention_days=FOREVER, retention_gb=EVERYTHING, flush_s=FLUSH_S
        )
        self._waiting = 0
        self.film: CameraJournal = self._journal.camera("film")

    def follow(self, frames: int) -> None:
        """So many more frames were put in; waits for the disk now and then, for a film comes faster than a camera."""
        self._waiting += frames
        if self._waiting >= AHEAD:
            self.settle()

    def settle(self) -> None:
        """Everything that was put in can be read."""
        self._journal.flush(60)
        self._waiting = 0

    def close(self) -> None:
        """Delete it."""
        self._journal.close()
        self._folder.cleanup()
