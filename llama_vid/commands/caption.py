"""`caption`: what is said in a recording or a stream, as it is said."""

from __future__ import annotations

import logging
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llama_vid.commands.terminal import Json, busy, clock, watching, write_json
from llama_vid.commands.video import check_video
from llama_vid.errors import ConfigError, LlamaVidError, SourceError

if TYPE_CHECKING:
    from llama_vid.llm.speech.whisper import SpeechModel
    from llama_vid.llm.speech.words import CaptionEvent, Line
    from llama_vid.settings_captions import CaptionSettings

logger = logging.getLogger(__name__)


class Pace(StrEnum):
    """How a recording is read: as fast as it can be recognised, or as if it were live."""

    fast = "fast"
    realtime = "realtime"


def caption(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A file with sound, or a stream's URL.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write captions too: .vtt, .srt, .json or .m3u8 (HLS)."),
    ] = None,
    pace: Annotated[Pace, typer.Option("--pace", help="A file's: fast, or realtime as if it were live.")] = Pace.fast,
    glossary: Annotated[
        str, typer.Option("--glossary", metavar="TERMS", help="Names and terms to expect, separated by commas.")
    ] = "",
    speech_model: Annotated[
        str, typer.Option("--speech-model", help="mini, a folder with a CTranslate2 Whisper model, or a hub name.")
    ] = "mini",
    language: Annotated[str, typer.Option("--language", help="What is spoken: en, de, …; auto to find out.")] = "en",
    threads: Annotated[int, typer.Option("--threads", min=1, max=64, help="Processor threads for recognition.")] = 1,
    as_json: Json = False,
) -> None:
    """Write what is said, with its times; Ctrl-C ends a stream and keeps what was written."""
    from llama_vid.clients.captions.cues import CueMaker
    from llama_vid.clients.captions.files import check_target, open_caption_file

    settings = speech_settings(glossary, speech_model, language, threads)
    check_video(source)
    if output is not None:
        check_target(output)
    with busy(f"Loading the speech model {speech_model}"):
        model = load_speech(settings)
    cues, file = CueMaker(), None
    shown = _Screen(as_json)
    stopped, before = threading.Event(), signal.getsignal(signal.SIGINT)

    def stop(*_: object) -> None:
        """Ctrl-C: what was heard is settled first. Between printing and writing an event it must not strike."""
        stopped.set()
        signal.signal(signal.SIGINT, before)  # a second one does not wait

    signal.signal(signal.SIGINT, stop)
    try:
        for event in _events(source, pace, model, settings.hotwords, stopped):
            if isinstance(event, float):
                if file is not None:
                    for cue in cues.tick(event):
                        file.add(cue)
                continue
            shown.show(event)
            if output is None or event.type != "final" or event.line is None:
                continue
            if file is None:
                # A stream's seconds are the world's: its file begins at 0 with the first words.
                file = open_caption_file(output, event.line.start if event.line.start > 1e9 else 0.0)
            for cue in cues.push(event.line.words):
                file.add(cue)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGINT, before)
        shown.close()
        if output is not None and (file is not None or sys.exc_info()[0] is None):
            file = file or open_caption_file(output)
            for cue in cues.finish():
                file.add(cue)
            file.close()


def speech_settings(glossary: str, model: str, language: str, threads: int) -> CaptionSettings:
    """The options as settings. Raises ConfigError for what cannot be."""
    from pydantic import ValidationError

    from llama_vid.settings_captions import CaptionSettings

    terms = [term.strip() for term in glossary.split(",") if term.strip()]
    try:
        return CaptionSettings(
            glossary=terms, model=model, language=None if language == "auto" else language, threads=threads
        )
    except ValidationError as problem:
        first = problem.errors()[0]
        raise ConfigError(f"--{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}") from None


def load_speech(settings: CaptionSettings) -> SpeechModel:
    """The speech model of the settings. Raises BundleError and ConfigError as `SpeechModel.load`."""
    from llama_vid.llm.speech.whisper import SpeechModel

    return SpeechModel.load(settings.model, language=settings.language, threads=settings.threads)


def _events(
    source: str, pace: Pace, model: SpeechModel, hotwords: str, stopped: threading.Event
) -> Iterator[CaptionEvent | float]:
    """What is heard until it is over or `stopped`, and in between the media seconds up to which all of it was given."""
    from llama_vid.stream.opening import is_recording
    from llama_vid.stream.urls import parse_url

    kind, recorded = parse_url(source).kind, is_recording(source)
    if recorded and pace is Pace.fast:
        yield from _fast(source, model, hotwords, stopped)
    elif recorded:
        yield from _paced(source, model, hotwords, stopped)
    elif kind == "webrtc":
        raise SourceError("a WebRTC publisher needs the server: set captions: true on the camera, and run serve")
    else:
        yield from _live(source, model, hotwords, stopped)


def _fast(source: str, model: SpeechModel, hotwords: str, stopped: threading.Event) -> Iterator[CaptionEvent]:
    from llama_vid.llm.speech.pieces import recognise_recording
    from llama_vid.llm.speech.words import CaptionEvent
    from llama_vid.stream.audio_file import AudioFile

    file = AudioFile(source)
    with watching("Listening") as progress:
        lines = recognise_recording(model, file, hotwords=hotwords, progress=lambda done: progress(done, file.duration))
        for line in lines:
            yield CaptionEvent("final", line)
            if stopped.is_set():
                break
    for warning in file.warnings:
        logger.warning("%s", warning)


def _paced(source: str, model: SpeechModel, hotwords: str, stopped: threading.Event) -> Iterator[CaptionEvent | float]:
    from llama_vid.llm.speech.caption_stream import CaptionStream
    from llama_vid.stream.audio import AudioQueue
    from llama_vid.stream.audio_pacing import PacedSound

    sound: AudioQueue = AudioQueue()
    events: queue.SimpleQueue[CaptionEvent] = queue.SimpleQueue()
    with CaptionStream(model, sound, events.put, name="captions") as captions, PacedSound(source, sound) as player:
        while not player.over.is_set() and not stopped.is_set():
            yield from _waiting(events)
            yield captions.settled or 0.0
        if player.error is not None:
            raise player.error
        sound.close()
        while not captions.join(0.1):
            yield from _waiting(events, 0.0)
        yield from _rest(events)
        _check(captions)
    for warning in player.warnings:
        logger.warning("%s", warning)


def _live(source: str, model: SpeechModel, hotwords: str, stopped: threading.Event) -> Iterator[CaptionEvent | float]:
    """A stream's sound alone; its source runs on an event loop in a thread of its own."""
    import asyncio

    from llama_vid.llm.speech.caption_stream import CaptionStream
    from llama_vid.stream.audio import AudioQueue
    from llama_vid.stream.live import LiveSource

    sound: AudioQueue = AudioQueue()
    events: queue.SimpleQueue[CaptionEvent] = queue.SimpleQueue()
    camera = LiveSource(source, audio=sound, pictures=False)
    camera.on_state(
        lambda state, reason: logger.warning("%s: %s", state, reason) if state not in ("live", "ended") else None
    )
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def read() -> None:
        async with camera:
            await stop.wait()

    reading = threading.Thread(target=lambda: loop.run_until_complete(read()), name="stream", daemon=True)
    reading.start()
    try:
        with CaptionStream(model, sound, events.put, name="captions") as captions:
            while not stopped.is_set():
                yield from _waiting(events)
                yield captions.settled or 0.0
                _check(captions)
        yield from _rest(events)
    finally:
        loop.call_soon_threadsafe(stop.set)
        reading.join()
        loop.close()


def _waiting(events: queue.SimpleQueue[CaptionEvent], timeout: float = 0.2) -> Iterator[CaptionEvent]:
    try:
        yield events.get(timeout=timeout) if timeout else events.get_nowait()
    except queue.Empty:
        return
    yield from _rest(events)


def _rest(events: queue.SimpleQueue[CaptionEvent]) -> Iterator[CaptionEvent]:
    while not events.empty():
        yield events.get_nowait()


def _check(captions: object) -> None:
    stats = captions.stats  # type: ignore[attr-defined]
    if stats.state == "failed":
        raise LlamaVidError(f"captions stopped: {stats.reason}")


class _Screen:
    """Events as JSON lines, or as text: sentences with their times, what is open yet in grey on a terminal."""

    def __init__(self, as_json: bool) -> None:
        from llama_vid.llm.speech.lines import Sentences

        self._as_json = as_json
        self._sentences = Sentences()
        self._grey = not as_json and sys.stderr.isatty() and sys.stdout.isatty()
        self._partial = False

    def show(self, event: CaptionEvent) -> None:
        line = event.line
        if self._as_json:
            start, end = (line.start, line.end) if line else (None, None)
            write_json({"type": event.type, "start": start, "end": end, "text": line.text if line else ""})
            return
        self.clear()
        if event.type == "final" and line is not None:
            self._print(self._sentences.push(line.words))
        elif line is not None and self._grey:
            words = [*self._sentences.words, *line.words]
            sys.stderr.write(f"\x1b[2m          {' '.join(word.text for word in words)[-100:]}\x1b[0m")
            sys.stderr.flush()
            self._partial = True

    def close(self) -> None:
        """Print what is open yet."""
        self.clear()
        self._print(self._sentences.finish())

    @staticmethod
    def _print(lines: list[Line]) -> None:
        for line in lines:
            print(f"{_time(line.start):>8}  {line.text}", flush=True)

    def clear(self) -> None:
        """Take the tail off the screen."""
        if self._partial:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._partial = False


def _time(seconds: float) -> str:
    if seconds < 1e9:
        return clock(seconds)
    import time

    return time.strftime("%H:%M:%S", time.localtime(seconds))
