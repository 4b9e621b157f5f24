"""The thread around recognition: it keeps up or says so, reports its state, and ends when it is told to."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from llama_vid.errors import BundleError
from llama_vid.llm.speech.caption_stream import CaptionStream
from llama_vid.llm.speech.words import CaptionEvent
from llama_vid.stream.audio import RATE, AudioBlock, AudioQueue
from tests.llm.speech.talk import Listener, bare, blocks, finals, sound, talk

pytestmark = pytest.mark.usefixtures("loud")


def wait_for(condition, timeout: float = 10.0) -> None:  # type: ignore[no-untyped-def]
    """Return as soon as the condition holds; the thing waited for is a thread that offers no event."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.01)


def test_sound_in_words_out_and_the_rest_when_the_queue_is_closed() -> None:
    truth = talk(40)
    queue, events = AudioQueue(room=60), list[CaptionEvent]()
    with CaptionStream(Listener(truth), queue, events.append) as captions:
        for block in blocks(sound(truth, truth[-1].end + 0.3)):
            queue.put(block)
        queue.close()
        assert captions.join(10)
        stats = captions.stats
    assert bare(finals(events)) == bare(truth)
    assert (stats.state, stats.words, stats.dropped_s) == ("ended", 40, 0.0)
    assert stats.seconds == pytest.approx(truth[-1].end + 0.3, abs=0.01)
    assert stats.lag_s <= 1.0


def test_leaving_settles_what_was_heard() -> None:
    truth = talk(10)
    queue, events = AudioQueue(), list[CaptionEvent]()
    listener = Listener(truth)
    with CaptionStream(listener, queue, events.append) as captions:
        for block in blocks(sound(truth, 3.0)):
            queue.put(block)
        wait_for(lambda: captions.stats.state == "speaking")
    assert len(finals(events)) >= 6
    assert captions.join(0)


def test_a_pause_of_the_stream_itself_settles_the_tail() -> None:
    """A camera that stops sending: what was said last does not stay volatile."""
    truth = talk(5)
    queue, events = AudioQueue(), list[CaptionEvent]()
    with CaptionStream(Listener(truth), queue, events.append):
        for block in blocks(sound(truth, 2.4)):
            queue.put(block)
        wait_for(lambda: len(finals(events)) == 5)
        assert bare(finals(events)) == bare(truth)


def test_a_slow_machine_gives_quality_up_and_the_lag_stays_bounded() -> None:
    """Sound comes twelve times as fast as life, and a recognition takes a quarter of a second: three of sound."""
    truth = talk(260)
    queue, events = AudioQueue(room=8.0), list[CaptionEvent]()
    listener = Listener(truth, slow_s=0.25)
    lags, rungs = [], []
    with CaptionStream(listener, queue, events.append) as captions:
        fed = time.monotonic()
        for block in blocks(sound(truth, 60.0)):
            while time.monotonic() < fed + block.end / 12:
                threading.Event().wait(0.002)
            queue.put(block)
            lags.append(captions.stats.lag_s)
            rungs.append(captions.stats.rung)
        stats = captions.stats
    assert rungs == sorted(rungs), "one rung after the other"
    assert stats.rung >= 3
    assert max(lags[-200:]) <= 8.0 + 5.0 + 3.0, "what the queue holds, one step, and one recognition"
    assert stats.load > 0


def test_dropped_sound_is_counted_and_a_gap_for_recognition() -> None:
    truth = talk(99)
    queue, events = AudioQueue(room=5.0), list[CaptionEvent]()
    for block in blocks(sound(truth, 40.0)):
        queue.put(block)
    with CaptionStream(Listener(truth), queue, events.append) as captions:
        queue.close()
        captions.join(10)
        assert captions.stats.dropped_s == pytest.approx(35.0, abs=0.11)
    heard = finals(events)
    assert heard[0].start >= 34.5
    assert bare(heard)[1:] == bare([word for word in truth if word.start >= heard[0].end - 0.05 and word.end < 40.0])


def test_state_says_what_is_wrong() -> None:
    queue = AudioQueue()
    with CaptionStream(Listener([]), queue, lambda event: None) as captions:
        wait_for(lambda: captions.stats.state == "waiting")
        queue.tell("cam has no audio track: there is nothing to caption.")
        assert captions.stats.state == "no sound"
        assert "no audio track" in captions.stats.reason
        queue.put(AudioBlock(0.0, np.zeros(RATE * 2, dtype=np.float32)))
        wait_for(lambda: captions.stats.state == "silent")
        assert captions.stats.reason == ""
    assert captions.stats.state == "ended"


def test_a_model_that_cannot_be_loaded_is_a_state_and_a_reason() -> None:
    def load() -> Listener:
        raise BundleError("the speech model is not here; run: make setup")

    with CaptionStream(load, AudioQueue(), lambda event: None) as captions:
        wait_for(lambda: captions.stats.state == "failed")
    assert captions.stats.state == "failed"
    assert "make setup" in captions.stats.reason
