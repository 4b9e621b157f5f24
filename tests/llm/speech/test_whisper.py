"""The bundled Whisper on real speech, and on what is none: noise, silence, tones, another language."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from llama_vid.errors import BundleError, ConfigError
from llama_vid.llm.speech.caption_stream import CaptionStream
from llama_vid.llm.speech.pieces import recognise_recording
from llama_vid.llm.speech.recogniser import Recogniser
from llama_vid.llm.speech.whisper import SpeechModel
from llama_vid.llm.speech.words import CaptionEvent, key
from llama_vid.stream.audio import RATE, AudioBlock, AudioQueue, Samples
from llama_vid.stream.audio_file import AudioFile
from tests.llm.speech.talk import blocks, finals

pytestmark = pytest.mark.model


def lecture(data: Path, seconds: float, first: float = 0.0) -> Samples:
    samples = np.concatenate([block.samples for block in AudioFile(data / "speech" / "lecture.flac")])
    return samples[round(first * RATE) : round((first + seconds) * RATE)]


def stream(model: SpeechModel, samples: Samples, hotwords: str = "") -> tuple[list[CaptionEvent], Recogniser]:
    recogniser, events = Recogniser(model, hotwords=hotwords), list[CaptionEvent]()
    for block in blocks(samples.astype(np.float32)):
        recogniser.push(block)
        if recogniser.due():
            events += recogniser.recognise()
    return events + recogniser.finish(), recogniser


def test_speech_is_recognised_with_times(whisper: SpeechModel, data: Path) -> None:
    """Against another recogniser's word times (Picovoice's Leopard)."""
    truth = json.loads((data / "speech" / "leopard_test_words.json").read_text())
    samples = np.concatenate([block.samples for block in AudioFile(data / "speech" / "leopard_test.wav")])
    events, _ = stream(whisper, samples)
    heard = finals(events)
    theirs = {key(word["word"]): word["start_sec"] for word in truth}
    shared = [(word.start, theirs[key(word.text)]) for word in heard if key(word.text) in theirs]
    assert len(shared) >= 0.7 * len(truth)
    assert np.median([abs(mine - yours) for mine, yours in shared]) < 0.25


def test_streaming_says_what_one_piece_says(whisper: SpeechModel, data: Path) -> None:
    samples = lecture(data, 7.0)
    streamed, recogniser = stream(whisper, samples)
    (whole,) = [
        "".join(
            key(word.text) for line in recognise_recording(whisper, [AudioBlock(0.0, samples)]) for word in line.words
        )
    ]
    said = "".join(key(word.text) for word in finals(streamed))
    assert said.startswith("printingintheonlysensewithwhichweareatpresent")
    assert abs(len(said) - len(whole)) <= 6
    assert recogniser.passes >= 7


def test_a_minute_of_silence_or_noise_gives_no_caption(whisper: SpeechModel) -> None:
    rng = np.random.default_rng(6)
    minute = 60 * RATE
    times = np.arange(minute) / RATE
    sounds = {
        "silence": np.zeros(minute),
        "white noise": rng.normal(0, 0.1, minute),
        "loud noise": rng.normal(0, 0.5, minute).clip(-1, 1),
        "hum": 0.3 * np.sin(2 * np.pi * 50 * times),
        "gusts": rng.normal(0, 0.3, minute) * (np.sin(2 * np.pi * 4 * times) > 0),
    }
    for name, samples in sounds.items():
        events, recogniser = stream(whisper, samples)
        assert events == [], name
        assert recogniser.passes <= 3, f"{name}: silence costs no recognition"
        assert list(recognise_recording(whisper, [AudioBlock(0.0, samples[: 28 * RATE].astype(np.float32))])) == []


def test_music_gives_no_caption(whisper: SpeechModel) -> None:
    rng = np.random.default_rng(0)
    tones = [220 * 2 ** (step / 12) for step in rng.choice([0, 2, 4, 5, 7, 9, 11, 12], size=60)]
    at = np.arange(4000)
    notes = [
        sum(np.sin(2 * np.pi * tone * k * at / RATE) / k for k in (1, 2, 3, 4)) * np.exp(-at / 3000) for tone in tones
    ]
    events, _ = stream(whisper, 0.2 * np.concatenate(notes))
    assert finals(events) == []


def test_speech_that_is_no_english_is_unclear_and_not_invented(whisper: SpeechModel, data: Path) -> None:
    """Speech played backward has the sounds of speech and is in no language; a handful of words slip through."""
    events, recogniser = stream(whisper, lecture(data, 12.0)[::-1])
    assert recogniser.unclear
    assert len(finals(events)) <= 8
    assert recogniser.left_out > 10


def test_a_glossary_spells_names(whisper: SpeechModel, data: Path) -> None:
    """Without it the same seconds are spelt otherwise ("Guttenberg"), which is why one is given."""
    events, _ = stream(whisper, lecture(data, 8.5, first=42.5), hotwords="Gutenberg")
    assert "Gutenberg" in " ".join(word.text for word in finals(events))


def test_a_stream_reports_its_delay(whisper: SpeechModel, data: Path) -> None:
    queue, events = AudioQueue(), list[CaptionEvent]()
    with CaptionStream(whisper, queue, events.append) as captions:
        for block in blocks(lecture(data, 5.0)):
            queue.put(block)
        queue.close()
        assert captions.join(30)
        assert captions.stats.delay_s is not None
        assert captions.stats.words == len(finals(events)) > 6


@pytest.mark.parametrize(
    ("name", "what"), [("no/such-model-anywhere", "cannot be loaded"), ("no-such-size", "cannot be loaded")]
)
def test_an_unknown_model_is_one_clear_error(name: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BundleError, match=what):
        SpeechModel.load(name)


def test_a_folder_without_a_model_and_a_language_it_does_not_speak(tmp_path: Path, whisper: SpeechModel) -> None:
    with pytest.raises(BundleError, match=r"model\.bin"):
        SpeechModel.load(str(tmp_path))
    with pytest.raises(ConfigError, match="English only"):
        SpeechModel.load("mini", language="de")
    assert whisper.language == "en"
