"""Questions about the past of a live camera: answered from it, or told why not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llama_vid.memory.journal import Journal
from llama_vid.stream.frame import Frame
from tests.bundles import film, mini

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llama_vid.film import Watching
    from llama_vid.llm.answer import Answer
    from llama_vid.llm.responder import Responder

pytestmark = [pytest.mark.model]

TODAY = datetime(2026, 3, 4, 18, tzinfo=UTC).timestamp()  # a Wednesday
YESTERDAY_AT_3 = datetime(2026, 3, 3, 15, tzinfo=UTC).timestamp()
GREY = np.full((272, 640, 3), 120, np.uint8)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Responder, Watching]]:
    """A camera that saw a street yesterday at 3 pm, was switched off, and sees a grey wall since 6 pm today.

    Its memory has room for a minute, so that the street is held coarsely and lies in the journal in detail.
    """
    from llama_vid.film import Watching
    from llama_vid.llm.responder import Responder
    from llama_vid.recorder import Recorder
    from llama_vid.stream.file import FileSource

    bundle = mini()
    folder: Path = tmp_path_factory.mktemp("journal")
    with Journal(folder) as journal:
        memory = Recorder(bundle, context_tokens=699, journal=journal.camera("front"))
        street = list(FileSource(film()))
        memory.add([Frame(YESTERDAY_AT_3 + frame.seconds, frame.image) for frame in street])
        for minute in range(6):  # things that happen until the street does not fit any more
            shades = [np.roll(frame.image, 40 * minute, axis=1) for frame in reversed(street)]
            memory.add(
                [Frame(YESTERDAY_AT_3 + 60 * (minute + 1) + second, shade) for second, shade in enumerate(shades)]
            )
        memory.add([Frame(TODAY + second, GREY, gap=second == 0) for second in range(20)])
        journal.flush()
        yield Responder(bundle.language, bundle.scorer, bundle.calibration, name="mini"), Watching(memory, UTC)


def ask(past: tuple[Responder, Watching], question: str) -> Answer:
    responder, watching = past
    answer = None
    for piece in responder.respond(question, watching):
        answer = piece.answer or answer
    assert answer is not None
    return answer


def test_a_time_that_memory_holds_coarsely_is_recalled_in_detail(past: tuple[Responder, Watching]) -> None:
    from llama_vid.llm.recall import is_coarse

    _, watching = past
    assert any(is_coarse(entry) for entry in watching.entries if entry.start < YESTERDAY_AT_3 + 10)
    answer = ask(past, "Was there a person on a bicycle yesterday between 15:00:00 and 15:00:10?")
    assert answer.answer.startswith("Yes")
    assert "yesterday 15:00:0" in answer.answer
    assert answer.timestamps
    assert all(YESTERDAY_AT_3 <= at < YESTERDAY_AT_3 + 10 for at in answer.timestamps)
    assert watching.recorder.jpeg(answer.timestamps[0]) is not None


def test_when_names_the_day(past: tuple[Responder, Watching]) -> None:
    answer = ask(past, "When did you see a street with cars?")
    assert "yesterday 15:0" in answer.answer
    assert min(answer.timestamps) < YESTERDAY_AT_3 + 500


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("Was there a car the day before yesterday?", "before my memory begins"),
        ("Is there a car on Monday?", "before my memory begins"),
        ("What happened yesterday at 11 pm?", "I was not watching at"),
        ("What happened since 3 am yesterday?", "15:0"),
    ],
)
def test_times_that_were_not_watched_are_told_so(past: tuple[Responder, Watching], question: str, says: str) -> None:
    assert says in ask(past, question).answer


def test_what_was_never_there_is_not_seen(past: tuple[Responder, Watching]) -> None:
    answer = ask(past, "Is there an elephant in the video?")
    assert answer.answer.startswith("No")
    assert "not seen an elephant" in answer.answer


def test_whether_anything_happened_is_told_by_what_moved(past: tuple[Responder, Watching]) -> None:
    still = ask(past, "Did anything happen in the last 10 seconds?")
    assert still.answer.startswith("No, nothing has moved: ")
    assert len(still.timestamps) == 1
    moved = ask(past, "Did anything happen yesterday at 3 pm?")
    assert moved.answer.startswith("Yes. ")
    assert all(abs(at - YESTERDAY_AT_3) < 600 for at in moved.timestamps)
