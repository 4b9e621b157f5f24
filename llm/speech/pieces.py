"""Captions of a recording as fast as it can be read: pieces of up to 30 s, cut where the speaker pauses.

Each is recognised once, with Whisper's full view and the text before it, so that this is a little better than the
streaming way, and much faster than real time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from llama_vid.llm.speech.doubt import Doubt
from llama_vid.llm.speech.recogniser import Hearing
from llama_vid.llm.speech.repeats import cut_repeats
from llama_vid.llm.speech.voice import Voice, find_voices, is_voiced
from llama_vid.llm.speech.whisper import prompt_of
from llama_vid.llm.speech.words import Line, Word
from llama_vid.stream.audio import RATE, AudioBlock, Samples

#: Pieces are cut at the longest pause behind `_FROM_S`; Whisper's view ends at 30 s.
_FROM_S: Final = 12.0
_LONGEST_S: Final = 28.0
#: A voice without words for so long was not heard: the piece is recognised again, without the text before it.
LOST_S: Final = 2.5


def recognise_recording(
    model: Hearing,
    blocks: Iterable[AudioBlock],
    *,
    hotwords: str = "",
    progress: Callable[[float], None] = lambda _seconds: None,
) -> Iterator[Line]:
    """The lines of a recording in order, one for each stretch of speech; `progress` hears how far it is in seconds."""
    said: list[Word] = []
    doubt = Doubt()
    for piece in pieces(blocks):
        voices = find_voices(piece.samples, piece.seconds)
        if voices:
            begin, end = voices[0].start, voices[-1].end
            first, last = (round((at - piece.seconds) * RATE) for at in (begin, end))
            samples = piece.samples[max(0, first) : last]

            def heard(
                prompt: str, samples: Samples = samples, begin: float = begin, voices: tuple[Voice, ...] = voices
            ) -> list[Word]:
                found = model.hear(samples, begin, prompt=prompt, hotwords=hotwords, whole=True)
                return [word for word in found.words if is_voiced(word.start, word.end, voices)]

            words, before = heard(prompt_of(said)), prompt_of(said)
            if before and wordless(words, voices) > LOST_S:
                # Whisper passes over what the text before it says already: a verse, a passage that is read twice.
                again = heard("")
                words = again if wordless(again, voices) < wordless(words, voices) else words
            kept = doubt.sift(cut_repeats(words, said[-72:]))
            said = [*said, *kept][-120:]
            yield from _lines(kept, voices)
        progress(piece.end)


def wordless(words: Sequence[Word], voices: Sequence[Voice]) -> float:
    """The longest stretch of a voice without a word in it, in seconds."""
    longest = 0.0
    for voice in voices:
        inside = [word for word in words if word.end > voice.start and word.start < voice.end]
        ends = [voice.start, *(word.end for word in inside)]
        starts = [*(word.start for word in inside), voice.end]
        longest = max([longest, *(start - end for end, start in zip(ends, starts, strict=True))])
    return longest


def pieces(blocks: Iterable[AudioBlock]) -> Iterator[AudioBlock]:
    """The same sound in pieces of up to 28 s, cut where nobody speaks."""
    held: AudioBlock | None = None
    for block in blocks:
        if held is not None and (block.gap or abs(block.seconds - held.end) > 0.5):
            yield held
            held = None
        samples = block.samples if held is None else np.concatenate([held.samples, block.samples])
        held = AudioBlock(block.seconds if held is None else held.seconds, samples)
        if len(samples) >= _LONGEST_S * RATE:
            cut = round((_pause(held) - held.seconds) * RATE)
            yield AudioBlock(held.seconds, samples[:cut])
            held = AudioBlock(held.seconds + cut / RATE, samples[cut:])
    if held is not None:
        yield held


def _pause(piece: AudioBlock) -> float:
    """The middle of the longest quiet stretch behind `_FROM_S`: between voices, else the quietest tenth of a second."""
    voices = find_voices(piece.samples, piece.seconds)
    edges = [piece.seconds, *(edge for voice in voices for edge in (voice.start, voice.end)), piece.end]
    quiet = [(end - start, (start + end) / 2) for start, end in zip(edges[::2], edges[1::2], strict=True)]
    quiet = [(length, at) for length, at in quiet if at - piece.seconds > _FROM_S and length > 0.05]
    if quiet:
        return max(quiet)[1]
    step = RATE // 10
    tail = piece.samples[round(_FROM_S * RATE) :]
    loudness = np.square(tail[: len(tail) // step * step].reshape(-1, step)).mean(axis=1)
    return piece.seconds + _FROM_S + (int(loudness.argmin()) + 0.5) * step / RATE


def _lines(words: tuple[Word, ...], voices: tuple[Voice, ...]) -> Iterator[Line]:
    """The words of each voice as a line of their own."""
    rest = list(words)
    for voice in voices:
        mine = [word for word in rest if (word.start + word.end) / 2 <= voice.end + 0.3]
        rest = rest[len(mine) :]
        if mine:
            yield Line.of(mine)
    if rest:
        yield Line.of(rest)
