"""Live captions: how many words are wrong, how soon each is committed, and what it costs, beside recognition in one go.

    llama-vid bench captions            (or: python -m benchmarks.captions; takes as long as the lecture, two minutes)

A lecture of 113 s is played in real time into what `llama-vid caption FILE --pace realtime` runs. The peer of the same
run is faster-whisper itself, with the same model, on the whole file at once: what streaming costs is the difference.
Beside both stands `llama-vid caption FILE` (fast, in pieces). Words are compared after Whisper's English normalisation.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Final

from evaluation.run import data_folder
from llama_vid.errors import ConfigError
from llama_vid.llm.speech.caption_stream import CaptionStats, CaptionStream
from llama_vid.llm.speech.pieces import recognise_recording
from llama_vid.llm.speech.whisper import WHISPER, SpeechModel
from llama_vid.llm.speech.words import CaptionEvent, Word, key
from llama_vid.stream.audio import AudioQueue
from llama_vid.stream.audio_file import AudioFile
from llama_vid.stream.audio_pacing import PacedSound

GOAL_ERROR: Final = 0.10
GOAL_WITHIN_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One way of recognising: its words with times, the word error rate, and processor seconds."""

    words: tuple[Word, ...]
    error: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Captions:
    """`delays` are seconds from the end of each word in the sound to its being committed, on the wall; `outside` the
    same by the word times of the recognition in one go, for the words that both heard."""

    seconds: float
    live: Heard
    fast: Heard
    whole: Heard
    delays: tuple[float, ...]
    outside: tuple[float, ...]
    stats: CaptionStats
    altered: int

    def to_json(self) -> dict[str, Any]:
        delays, outside = sorted(self.delays), sorted(self.outside)
        return {
            "name": "captions",
            "n": len(self.live.words),
            "seconds": self.seconds,
            "word_error_rate": self.live.error,
            "goal_word_error_rate": GOAL_ERROR,
            "committed_within_3_s": share(delays),
            "delay_median_s": at(delays, 0.5),
            "delay_p95_s": at(delays, 0.95),
            "delay_longest_s": delays[-1] if delays else None,
            "within_3_s_by_one_piece_times": share(outside),
            "committed_words_altered": self.altered,
            "cores": self.live.cpu_s / self.seconds,
            "rung_at_the_end": self.stats.rung,
            "dropped_s": self.stats.dropped_s,
            "peer": {"one_piece_word_error_rate": self.whole.error, "one_piece_cpu_s": self.whole.cpu_s},
            "fast": {"word_error_rate": self.fast.error, "cpu_s": self.fast.cpu_s},
            "streaming_costs_points": 100 * (self.live.error - self.whole.error),
        }


def share(delays: Sequence[float]) -> float | None:
    """The share of words committed within the goal."""
    return sum(delay <= GOAL_WITHIN_S for delay in delays) / len(delays) if delays else None


def at(values: Sequence[float], quantile: float) -> float | None:
    """The value at a quantile of sorted values (nearest rank)."""
    return values[min(len(values) - 1, int(quantile * len(values)))] if values else None


def error_rate(reference: str, heard: Sequence[Word]) -> float:
    """Word error rate after Whisper's English normalisation (numbers, contractions, spelling, fillers)."""
    import jiwer
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    normalise = EnglishTextNormalizer({})  # type: ignore[no-untyped-call]
    return float(jiwer.wer(normalise(reference), normalise(" ".join(word.text for word in heard))))


def hear_live(model: SpeechModel, path: Path) -> tuple[Heard, tuple[float, ...], CaptionStats, int]:
    """Play the file in real time; words, delays, figures, and how many committed words were altered later."""
    queue, events = AudioQueue(), list[tuple[float, CaptionEvent]]()
    cpu = time.process_time()
    began = time.monotonic()
    with CaptionStream(model, queue, lambda event: events.append((time.monotonic() - began, event))) as captions:
        with PacedSound(path, queue, began=lambda: began) as player:
            player.over.wait()
        queue.close()
        captions.join()
        stats = captions.stats
    cpu = time.process_time() - cpu
    finals = [(when, event.line) for when, event in events if event.type == "final" and event.line is not None]
    words = tuple(word for _, line in finals for word in line.words)
    delays = tuple(when - word.end for when, line in finals for word in line.words)
    # A committed word would be altered by a later event that reaches back before its end.
    altered, until = 0, 0.0
    for _, event in events:
        if event.line is not None:
            altered += event.line.start < until - 1e-6 and event.type == "final"
            until = max(until, event.line.end) if event.type == "final" else until
    return Heard(words, 0.0, cpu), delays, stats, altered


def hear_fast(model: SpeechModel, path: Path) -> Heard:
    """`llama-vid caption FILE`."""
    cpu = time.process_time()
    words = tuple(word for line in recognise_recording(model, AudioFile(path)) for word in line.words)
    return Heard(words, 0.0, time.process_time() - cpu)


def hear_whole(path: Path) -> Heard:
    """The peer: faster-whisper's own `transcribe` on the whole file, as its README shows it, with one thread."""
    from faster_whisper import WhisperModel

    model = WhisperModel(str(WHISPER.path().parent), device="cpu", compute_type="int8", cpu_threads=1)
    cpu = time.process_time()
    segments, _ = model.transcribe(str(path), language="en", beam_size=5, word_timestamps=True)
    words = [
        Word(word.start, word.end, word.word.strip(), word.probability)
        for segment in segments
        for word in segment.words or ()
    ]
    return Heard(tuple(words), 0.0, time.process_time() - cpu)


def by_other_times(heard: Sequence[Word], delays: Sequence[float], times: Sequence[Word]) -> tuple[float, ...]:
    """The delays with each word's end as another recognition has it, for the words that are in both."""
    match = SequenceMatcher(None, [key(w.text) for w in heard], [key(w.text) for w in times], autojunk=False)
    found = []
    for mine, theirs, size in match.get_matching_blocks():
        for n in range(size):
            found.append(delays[mine + n] + heard[mine + n].end - times[theirs + n].end)
    return tuple(found)


def measure(runs: int | None = None) -> Captions:
    """Once in real time, once fast, once in one go; `runs` is not used. Raises ConfigError without the lecture."""
    folder = data_folder()
    path = folder / "speech" / "lecture.flac" if folder is not None else None
    if path is None or not path.is_file():
        raise ConfigError("there is no lecture to caption; set LLAMA_VID_DATA to the evaluation data's folder")
    pieces = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    reference = " ".join(piece["text"] for piece in pieces)
    model = SpeechModel.load("mini", threads=1, device="cpu")
    live, delays, stats, altered = hear_live(model, path)
    fast, whole = hear_fast(model, path), hear_whole(path)
    return Captions(
        seconds=stats.seconds,
        live=Heard(live.words, error_rate(reference, live.words), live.cpu_s),
        fast=Heard(fast.words, error_rate(reference, fast.words), fast.cpu_s),
        whole=Heard(whole.words, error_rate(reference, whole.words), whole.cpu_s),
        delays=delays,
        outside=by_other_times(live.words, delays, whole.words),
        stats=stats,
        altered=altered,
    )


if __name__ == "__main__":
    from evaluation.report import print_table

    print_table(measure())
