"""The window: it grows, is cut, never repeats or loses a word, and its cost is bounded."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from llama_vid.llm.speech.effort import EFFORTS, LATE_S, Effort, Ladder
from llama_vid.llm.speech.pieces import recognise_recording, wordless
from llama_vid.llm.speech.recogniser import PATIENCE_S, Recogniser
from llama_vid.llm.speech.whisper import Heard
from llama_vid.llm.speech.words import CaptionEvent
from llama_vid.stream.audio import RATE, AudioBlock, Samples
from tests.llm.speech.talk import Listener, bare, blocks, finals, loud_voices, sound, talk

pytestmark = pytest.mark.usefixtures("loud")


def run(recogniser: Recogniser, pieces: list[AudioBlock], effort: Effort = EFFORTS[0]) -> list[CaptionEvent]:
    events: list[CaptionEvent] = []
    for block in pieces:
        recogniser.push(block)
        if recogniser.due(effort):
            events += recogniser.recognise(effort)
    return events


@pytest.mark.parametrize("effort", EFFORTS, ids=lambda effort: effort.name)
@pytest.mark.parametrize("pause_every", [0, 7])
def test_every_word_once_in_order_and_a_bounded_window(effort: Effort, pause_every: int) -> None:
    truth = talk(150, pause_every=pause_every)
    listener = Listener(truth)
    recogniser = Recogniser(listener)
    events = run(recogniser, blocks(sound(truth, truth[-1].end + 2.0)), effort)
    events += recogniser.finish()
    heard = finals(events)
    assert bare(heard) == bare(truth)
    assert max(end - start for start, end, _ in listener.calls) <= effort.window_s + effort.step_s + 0.2
    assert {beam for *_, beam in listener.calls} == {effort.beam}
    for mine, theirs in zip(heard, truth, strict=True):
        assert mine.end == pytest.approx(theirs.end, abs=0.01)


def test_words_are_committed_soon() -> None:
    truth = talk(80)
    recogniser = Recogniser(Listener(truth))
    delays = []
    for block in blocks(sound(truth, truth[-1].end + 1.0)):
        recogniser.push(block)
        if recogniser.due():
            delays += [recogniser.end - word.end for word in finals(recogniser.recognise())]
    assert len(delays) == 80
    assert sorted(delays)[int(0.95 * 80)] <= 2.2


def test_the_event_log_never_takes_a_committed_word_back() -> None:
    """Finals only ever follow each other; whatever is invented at the window's end stays in the partials."""
    truth = talk(60, pause_every=9)
    recogniser = Recogniser(Listener(truth, invent=lambda n: f"thanks{n}"))
    until, log = 0.0, ""
    events = run(recogniser, blocks(sound(truth, truth[-1].end + 0.2))) + recogniser.finish()
    for event in events:
        if event.type == "final":
            assert event.line is not None
            assert event.line.start >= until - 1e-9
            until, log = event.line.end, f"{log} {event.line.text}"
    assert [word for word in log.lower().split() if not word.startswith("thanks")] == bare(truth)
    assert log.count("hanks") <= 8, "at most one at each pause, where the model is believed"
    assert any(event.type == "partial" and event.line and "thanks" in event.line.text for event in events)


def test_silence_is_not_recognised_at_all() -> None:
    listener = Listener(talk(10))
    recogniser = Recogniser(listener)
    assert run(recogniser, blocks(np.zeros(60 * RATE, dtype=np.float32))) == []
    assert recogniser.finish() == []
    assert listener.calls == []


def test_a_gap_settles_what_was_heard_and_starts_anew() -> None:
    truth = talk(12)
    recogniser = Recogniser(Listener(truth))
    first = run(recogniser, blocks(sound(truth, 3.0)))
    later = [
        AudioBlock(block.seconds + 500.0, block.samples, gap=n == 0)
        for n, block in enumerate(blocks(np.zeros(RATE, dtype=np.float32)))
    ]
    events = first + run(recogniser, later)
    assert bare(finals(events))[:6] == bare(truth[:6])
    assert recogniser.end == pytest.approx(501.0)


def test_words_that_never_agree_are_committed_in_the_end() -> None:
    """A model that never says the same twice holds nothing up for ever."""
    truth = talk(60)

    class Fickle(Listener):
        def hear(self, *given: object, **asked: object):  # type: ignore[no-untyped-def]
            heard = super().hear(*given, **asked)  # type: ignore[arg-type]
            changed = [type(w)(w.start, w.end, f"{w.text}x{len(self.calls)}", w.probability) for w in heard.words]
            return type(heard)(tuple(changed))

    recogniser = Recogniser(Fickle(truth))
    waits = []
    for block in blocks(sound(truth, truth[-1].end)):
        recogniser.push(block)
        if recogniser.due():
            waits += [recogniser.end - word.end for word in finals(recogniser.recognise())]
    assert waits
    assert max(waits) <= PATIENCE_S + 1.5


def test_hotwords_reach_the_model() -> None:
    truth = talk(6)
    listener = Listener(truth)
    run(Recogniser(listener, hotwords="Gutenberg, Jenson"), blocks(sound(truth, 3.0)))
    assert set(listener.asked) == {"Gutenberg, Jenson"}


def test_a_recording_in_pieces_has_every_word_once() -> None:
    truth = talk(200, pause_every=13)
    listener = Listener(truth)
    done: list[float] = []
    lines = list(recognise_recording(listener, blocks(sound(truth, truth[-1].end + 1)), progress=done.append))
    assert bare([word for line in lines for word in line.words]) == bare(truth)
    assert max(end - start for start, end, _ in listener.calls) <= 28.5
    assert done == sorted(done)


class Skipping(Listener):
    """Hears nothing behind text that it was shown before, as Whisper does with a passage that is read twice."""

    def hear(self, samples: Samples, start: float, *, prompt: str = "", **how: Any) -> Heard:
        self.prompts.append(prompt)
        heard = super().hear(samples, start, **how)
        return Heard(heard.words[:2]) if prompt else heard

    prompts: ClassVar[list[str]] = []


def test_a_passage_that_was_passed_over_is_heard_again_without_the_text_before_it() -> None:
    truth = talk(200, pause_every=13)
    listener = Skipping(truth)
    lines = list(recognise_recording(listener, blocks(sound(truth, truth[-1].end + 1))))
    assert bare([word for line in lines for word in line.words]) == bare(truth)
    assert "" in listener.prompts[1:]
    assert wordless(truth[:13], loud_voices(sound(truth[:13], 7.0), 0.0)) < 0.5
    assert wordless(truth[:3], loud_voices(sound(truth[:13], 7.0), 0.0)) > 3.0


def test_effort_is_given_up_in_the_stated_order_and_taken_up_again() -> None:
    ladder = Ladder()
    names = [ladder.effort.name]
    for _ in range(12):
        ladder.measure(took_s=3.0, advanced_s=2.0, waiting_s=3.0)
        if ladder.effort.name != names[-1]:
            names.append(ladder.effort.name)
    assert names == ["full", "longer step", "beam of one", "shorter window", "no partials"]
    assert ladder.effort == EFFORTS[-1]
    for _ in range(100):
        ladder.measure(took_s=0.2, advanced_s=ladder.effort.step_s, waiting_s=0.0)
    assert ladder.rung == 0
    ladder.measure(took_s=0.2, advanced_s=0.8, waiting_s=LATE_S + 1)
    ladder.measure(took_s=0.2, advanced_s=0.8, waiting_s=LATE_S + 1)
    assert ladder.rung == 1, "sound that waits counts as being late, too"
