"""What is said in front of a live camera: recognised beside its pictures, told at once, and kept line by line."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from llama_vid.llm.speech.caption_stream import CaptionStats, CaptionStream
from llama_vid.llm.speech.lines import Sentences
from llama_vid.llm.speech.recogniser import Hearing
from llama_vid.llm.speech.words import CaptionEvent, Line
from llama_vid.stream.audio import AudioQueue

CaptionSink = Callable[[CaptionEvent], None]


class CameraSpeech:
    """Captions of one camera, from `async with` to its end; recognition has a thread of its own.

    `load_model` is called in that thread. `sink` gets every event and `keep` every finished line, both in the event
    loop's thread.
    """

    def __init__(
        self,
        load_model: Callable[[], Hearing],
        queue: AudioQueue,
        *,
        hotwords: str,
        name: str,
        sink: CaptionSink,
        keep: Callable[[Line], None],
    ) -> None:
        self._load, self._queue, self._hotwords, self._name = load_model, queue, hotwords, name
        self._sink, self._keep = sink, keep
        self._sentences = Sentences()
        self._stream: CaptionStream | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()

        def deliver(event: CaptionEvent) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the thread outlived the session
                loop.call_soon_threadsafe(self._take, event)

        self._stream = CaptionStream(
            self._load, self._queue, deliver, hotwords=self._hotwords, name=f"captions-{self._name}"
        )
        self._stream.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            await asyncio.to_thread(self._stream.close)
            await asyncio.sleep(0)  # what it delivered last
        self._finish()

    @property
    def stats(self) -> CaptionStats | None:
        """How recognition fares; None before it began."""
        return self._stream.stats if self._stream is not None else None

    @property
    def settled(self) -> float | None:
        """The second up to which all that was said has been told; None before the first recognition."""
        return self._stream.settled if self._stream is not None else None

    def _take(self, event: CaptionEvent) -> None:
        self._sink(event)
        if event.type == "final" and event.line is not None:
            for line in self._sentences.push(event.line.words):
                self._keep(line)
        elif event.line is None and self._stream is not None and self._stream.stats.state == "silent":
            self._finish()  # the speaker has paused: what was said is whole

    def _finish(self) -> None:
        for line in self._sentences.finish():
            self._keep(line)
