"""The sound of a recording, played into a queue at its own pace, as if it were live."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from os import PathLike
from types import TracebackType
from typing import Self

from llama_vid.errors import SourceError
from llama_vid.stream.audio import AudioBlock, AudioQueue
from llama_vid.stream.audio_file import AudioFile


class PacedSound:
    """Plays a file's sound into `queue` in real time while it is open (`with`), each block when its last sample is due.

    `began` gives the monotonic time that stands for the file's second 0 (it may be put off while the file plays), and
    `wall` what is added to monotonic times in the blocks' stamps; None stamps media seconds from 0. A file without
    sound is told in the queue's `note`; other failures are in `error` once it is `over`.
    """

    def __init__(
        self,
        url: str | PathLike[str],
        queue: AudioQueue,
        *,
        began: Callable[[], float] | None = None,
        wall: float | None = None,
    ) -> None:
        started = time.monotonic()
        self._file, self._queue, self._wall = AudioFile(url), queue, wall
        self._began = began or (lambda: started)
        self._stop = threading.Event()
        self.over = threading.Event()
        self.error: SourceError | None = None
        self._thread = threading.Thread(target=self._run, name="paced sound", daemon=True)

    @property
    def warnings(self) -> list[str]:
        """What was wrong with the file and could be passed over."""
        return list(self._file.warnings)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """Ask the thread to end; it does so at the next block."""
        self._stop.set()

    def _run(self) -> None:
        gap = self._queue.newest is not None  # another round of a looped file
        try:
            for block in self._file:
                while (early := self._began() + block.end - time.monotonic()) > 0:
                    if self._stop.wait(early):
                        return
                if self._stop.is_set():
                    return
                shift = 0.0 if self._wall is None else self._wall + self._began()
                self._queue.put(AudioBlock(block.seconds + shift, block.samples, block.gap or gap))
                gap = False
        except SourceError as error:
            self.error = error
            self._queue.tell(str(error))
        finally:
            self.over.set()
