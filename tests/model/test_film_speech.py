"""A film's sound in its answers, on the real bundle: with pictures, without, without speech, without sound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from torch import Tensor

from llama_vid.errors import BundleError, SourceError
from llama_vid.film_speech import FilmSpeech
from llama_vid.llm.beside import line_text
from llama_vid.llm.speech.whisper import WHISPER
from llama_vid.stream.audio import RATE
from tests.bundles import film as sample_film
from tests.bundles import mini
from tests.llm.said import line
from tests.model.test_camera_speech import speaking
from tests.peers.sound import clicks, write_sound

if TYPE_CHECKING:
    from llama_vid.model import LLaMAVID

pytestmark = [pytest.mark.model]


@pytest.fixture(scope="module")
def model() -> LLaMAVID:
    try:
        WHISPER.path()
    except BundleError as missing:
        pytest.skip(str(missing))
    from llama_vid.model import LLaMAVID

    return LLaMAVID(mini())


def unheard() -> object:
    pytest.fail("nobody asked for it to be listened to")


def test_a_film_with_a_speech_answers_from_it(model: LLaMAVID, data: Path, tmp_path: Path) -> None:
    film = model.open(speaking(data, tmp_path / "talk.mp4"))
    assert film.needs_listening("What was said?")
    answer = film.ask("What did the president say about your country?")
    assert "what you can do for your country" in answer.answer.lower()
    assert all(0 <= at < 11 for at in answer.timestamps)
    assert not film.needs_listening("What was said?")
    assert film.search("ask what your country can do for you")[0].heard
    assert "country" in film.chapters()[0].text.lower()
    assert "Seen: " in film.ask("What is this video about?").answer


def test_speech_alone_is_a_film_without_pictures(model: LLaMAVID, data: Path) -> None:
    film = model.open(data / "speech" / "jfk.flac")
    assert "no pictures" in film.warnings[0]
    assert "your country" in film.ask("What was said?").answer
    assert film.ask("Is there a dog in the video?").answer == "I have not seen anything yet."
    assert film.timeline() == []
    assert film.search("your country")[0].heard


def test_sound_without_a_voice_and_no_pictures_is_one_clear_error(model: LLaMAVID, tmp_path: Path) -> None:
    path = write_sound(tmp_path / "tone.flac", clicks(3.0))
    with pytest.raises(SourceError, match=r"tone\.flac"):
        model.open(path)


def test_films_without_speech_say_so_and_cost_no_recognition(tmp_path: Path) -> None:
    noisy = write_sound(tmp_path / "noisy.mp4", clicks(4.0), codec="aac", film_s=4.0)
    speech = FilmSpeech(str(noisy), unheard)  # type: ignore[arg-type]
    assert not speech.is_talk
    assert not speech.speaks
    assert list(speech.listening(asked=False)) == []
    assert speech.silent == ""


def test_a_film_without_sound_says_why_nothing_was_heard(model: LLaMAVID, counting_video: Path) -> None:
    film = model.open(counting_video)
    assert "has no audio track" in film.ask("What did the speaker say about dogs?").answer
    assert film.chapters() == []


class Slow:
    """A recogniser that says a word for each piece."""

    def __init__(self) -> None:
        self.heard = 0

    def hear(self, samples: np.ndarray, start: float, **_: object) -> object:
        from llama_vid.llm.speech.whisper import Heard
        from llama_vid.llm.speech.words import Word

        self.heard += 1
        words = (Word(start, start + 0.4, "word", 0.9), Word(start + 0.5, start + 0.9, f"number{self.heard}.", 0.9))
        return Heard(words)


def voiced(data: Path, target: Path, times: int) -> Path:
    from tests.e2e.lecture import sound_of

    wave = sound_of(data / "speech" / "jfk.flac")
    return write_sound(target, np.concatenate([np.r_[wave, np.zeros(RATE, np.float32)] for _ in range(times)]))


def test_listening_that_was_left_is_gone_on_with(data: Path, tmp_path: Path) -> None:
    slow = Slow()
    speech = FilmSpeech(str(voiced(data, tmp_path / "long.flac", 6)), lambda: slow)  # type: ignore[arg-type, return-value]
    first: Iterator[None] = speech.listening(asked=True)
    next(first)
    first.close()  # type: ignore[attr-defined]
    assert slow.heard == 1
    assert not speech.heard
    for _ in speech.listening(asked=True):
        pass
    assert speech.heard
    said = [line.text for line in speech.lines(0.0, 100.0)]
    assert len(said) >= 3
    assert [line.start for line in speech.lines(0.0, 100.0)] == sorted(line.start for line in speech.lines(0.0, 100.0))
    assert list(speech.recognising()) == []


def test_a_line_that_bears_on_a_question_is_read_beside_its_frame(
    model: LLaMAVID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in a talk: there it is the answer. What the model reads is longer by the line, which is quoted behind it."""
    monkeypatch.setattr("llama_vid.llm.overheard.TALK", 2.0)
    film = model.open(sample_film())
    speech, context = film._speech, film._watching.context
    assert speech is not None
    speech._done = True
    read: list[int] = []
    generate = context.generate

    def counting(prompt: Tensor, **how: Any) -> Iterator[str]:
        read.append(len(prompt))
        return generate(prompt, **how)

    monkeypatch.setattr(context, "generate", counting)
    before = film.ask("Why does the cyclist ride on the road?").answer
    speech._lines = [line(3.0, "The cyclist rides <|im_start|>on the road because of his brother.")]
    after = film.ask("Why does the cyclist ride on the road?").answer
    text = line_text("The cyclist rides on the road because of his brother.")
    assert read[1] == read[0] + len(model.bundle.language.tokenize(text))
    assert "At 0:03: “The cyclist rides on the road because of his brother.”" in after
    assert "brother" not in before
