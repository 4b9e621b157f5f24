"""Captions of one live stream, in a thread: takes sound from a queue, gives events, keeps up or says that it cannot."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Self

from llama_vid.errors import LlamaVidError
from llama_vid.llm.speech.effort import Ladder
from llama_vid.llm.speech.recogniser import Hearing, Recogniser
from llama_vid.llm.speech.words import CaptionEvent
from llama_vid.stream.audio import AudioQueue

logger = logging.getLogger(__name__)

CaptionState = Literal["loading", "waiting", "silent", "speaking", "unclear", "no sound", "failed", "ended"]

#: How long the thread waits for sound before it looks around, in seconds.
_WAIT_S: Final = 0.5
#: Without sound for so long, what was heard is settled: nothing more will come to it.
_SETTLE_S: Final = 2.0
#: The delays of so many words are kept for the figures.
_DELAYS: Final = 100


@dataclass(frozen=True, slots=True)
class CaptionStats:
    """A snapshot. `lag_s` is sound that has come and not been recognised yet, `delay_s` how long after being spoken the
    95th of the latest 100 words was committed (in stream time; None before there are any), `load` the share of real
    time that recognition takes, `effort` what is given up to keep up (`EFFORTS`; rung 0 is nothing), `dropped_s` sound
    lost because even that was not enough, `left_out` words that were heard and not believed."""

    state: CaptionState
    reason: str = ""
    words: int = 0
    seconds: float = 0.0
    lag_s: float = 0.0
    delay_s: float | None = None
    load: float = 0.0
    effort: str = "full"
    rung: int = 0
    dropped_s: float = 0.0
    left_out: int = 0


class CaptionStream:
    """Recognises the sound that is left in `queue` until the queue is closed; use it as `with`.

    `deliver` gets every `CaptionEvent`, in this stream's thread: hand it on (`loop.call_soon_threadsafe`), do not work
    there. `model` is a loaded `SpeechModel` (one serves any number of streams, one recognition at a time) or a function
    that loads one; an error in that ends the stream with state "failed" and its line as the reason. Leaving the block
    settles what was heard so far, delivers it and joins the thread.
    """

    def __init__(
        self,
        model: Hearing | Callable[[], Hearing],
        queue: AudioQueue,
        deliver: Callable[[CaptionEvent], None],
        *,
        hotwords: str = "",
        name: str = "captions",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._queue, self._deliver, self._hotwords = model, queue, deliver, hotwords
        self._clock = clock
        self._ladder = Ladder()
        self._recogniser: Recogniser | None = None
        self._state: CaptionState = "loading"
        self._reason = ""
        self._seconds = 0.0
        self._settled: float | None = None
        self._heard_to: float | None = None
        self._delays: deque[float] = deque(maxlen=_DELAYS)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the queue, settle what was heard, and wait for the thread (at most one recognition)."""
        self._stop.set()
        self._queue.close()
        self._thread.join()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the queue was closed and everything in it recognised; False when that took longer."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def settled(self) -> float | None:
        """The media time up to which everything that was said has been delivered: a cue that ends before can be shown,
        and an HLS segment written. None before the first recognition."""
        return self._settled

    @property
    def stats(self) -> CaptionStats:
        """How it goes; from any thread."""
        heard, newest = self._recogniser, self._queue.newest
        state, reason = self._state, self._reason
        if state in ("waiting", "silent", "speaking", "unclear") and self._queue.note:
            state, reason = "no sound", self._queue.note
        lag = newest - self._heard_to if newest is not None and self._heard_to is not None else 0.0
        delays = sorted(self._delays)
        return CaptionStats(
            state,
            reason,
            words=heard.words if heard else 0,
            seconds=self._seconds,
            lag_s=max(0.0, lag),
            delay_s=delays[int(0.95 * (len(delays) - 1))] if delays else None,
            load=self._ladder.load,
            effort=self._ladder.effort.name,
            rung=self._ladder.rung,
            dropped_s=self._queue.dropped_s,
            left_out=heard.left_out if heard else 0,
        )

    def _run(self) -> None:
        try:
            model = self._model if hasattr(self._model, "hear") else self._model()
            self._recogniser = Recogniser(model, hotwords=self._hotwords)
            self._state = "waiting"
            self._listen(self._recogniser)
            self._state = "ended"
        except LlamaVidError as problem:
            self._state, self._reason = "failed", str(problem)
            logger.error("captions stopped: %s", problem)
        except Exception:  # the edge of this thread
            self._state, self._reason = "failed", "an error in the program; see the log"
            logger.exception("captions failed")

    def _listen(self, recogniser: Recogniser) -> None:
        came = self._clock()
        while not self._stop.is_set() and not self._queue.closed:
            blocks = self._queue.take(_WAIT_S)
            for block in blocks:
                self._seconds += len(block.samples) / 16_000
                recogniser.push(block)
                if recogniser.unheard_s >= 2 * self._ladder.effort.window_s:
                    self._recognise(recogniser)  # a backlog: in pieces that the window can hold
            if blocks:
                came = self._clock()
            elif recogniser.unheard_s or recogniser.speaking:
                if self._clock() - came > _SETTLE_S:
                    self._tell(recogniser.finish())
                continue
            if recogniser.due(self._ladder.effort):
                self._recognise(recogniser)
        self._tell(recogniser.finish())

    def _recognise(self, recogniser: Recogniser) -> None:
        began, advanced = self._clock(), recogniser.unheard_s
        events = recogniser.recognise(self._ladder.effort)
        self._heard_to = recogniser.end
        self._ladder.measure(self._clock() - began, advanced, self._queue.waiting_s)
        if recogniser.unclear:
            self._state, self._reason = "unclear", "speech that the model does not understand (another language?)"
        else:
            self._state, self._reason = "speaking" if recogniser.speaking else "silent", ""
        self._tell(events)

    def _tell(self, events: list[CaptionEvent]) -> None:
        now = self._queue.newest
        for event in events:
            if event.type == "final" and event.line is not None and now is not None:
                self._delays.extend(max(0.0, now - word.end) for word in event.line.words)
            self._deliver(event)
        if self._recogniser is not None and self._heard_to is not None:
            self._settled = max(self._settled or 0.0, self._recogniser.settled)
