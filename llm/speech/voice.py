"""Where in the sound somebody speaks: Silero's voice activity detection, as it comes with faster-whisper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from llama_vid.stream.audio import RATE, Samples

#: A span ends after this many seconds without a voice: shorter pauses are inside sentences.
PAUSE_S: Final = 0.5
#: Spans are this much longer at both ends, so that no first or last sound is cut off.
PAD_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Voice:
    """A span in which somebody speaks, in media seconds."""

    start: float
    end: float


def find_voices(samples: Samples, start: float) -> tuple[Voice, ...]:
    """The spans with speech in (n,) samples at 16 kHz that begin at media second `start`; a millisecond a second."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    if len(samples) < RATE // 10 or not np.any(samples):
        return ()
    options = VadOptions(
        min_speech_duration_ms=150, min_silence_duration_ms=round(PAUSE_S * 1000), speech_pad_ms=round(PAD_S * 1000)
    )
    found = get_speech_timestamps(samples, options, sampling_rate=RATE)
    return tuple(Voice(start + span["start"] / RATE, start + span["end"] / RATE) for span in found)


def is_voiced(start: float, end: float, voices: tuple[Voice, ...], slack: float = 0.3) -> bool:
    """Whether a word from `start` to `end` has its middle in a voice, or within `slack` seconds of one."""
    middle = (start + end) / 2
    return any(voice.start - slack <= middle <= voice.end + slack for voice in voices)
