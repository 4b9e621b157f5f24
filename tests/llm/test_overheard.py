"""What was said in answers that do not ask for it: where it is the answer, where it only stands beside it."""

from __future__ import annotations

from types import SimpleNamespace

from llama_vid.llm import overheard
from llama_vid.llm.inquiry import Inquiry
from llama_vid.llm.questions import sort_question
from llama_vid.llm.transcript import Heard
from tests.llm.said import Memory, Said, encode, line

LECTURE = [line(10.0 * n, f"Chapter {n} tells how printers cast metal letters in Mainz.", each=0.9) for n in range(12)]


def inquiry(said: Said, question: str, seconds: float) -> Inquiry:
    """A question to a memory of so many seconds."""
    memory = Memory(Heard(said, encode), (SimpleNamespace(start=0.0, end=seconds),))
    return Inquiry(sort_question(question, 0.0, seconds), memory, memory.entries, lambda: False, now=seconds)  # type: ignore[arg-type]


def answered_by_lines(said: Said, question: str, seconds: float) -> bool:
    asked = inquiry(said, question, seconds)
    work = overheard.bearing(asked)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return overheard.speak_for_themselves(asked, end.value)


def test_in_a_talk_an_open_question_is_answered_by_its_lines() -> None:
    assert answered_by_lines(Said(list(LECTURE)), "Where did the printers cast metal letters?", 120.0)


def test_what_is_only_seen_is_looked_at() -> None:
    assert not answered_by_lines(Said(list(LECTURE)), "What colour are the printers' metal letters?", 120.0)


def test_one_sentence_in_an_hour_is_no_talk() -> None:
    assert not answered_by_lines(Said(LECTURE[:1]), "Where did the printers cast metal letters?", 3600.0)


def test_a_talk_in_a_long_day_is_one() -> None:
    later = [line(40_000.0 + each.start, each.text, each=0.9) for each in LECTURE]
    assert answered_by_lines(Said(later), "Where did the printers cast metal letters?", 40_120.0)
    assert not answered_by_lines(Said(later[:1]), "Where did the printers cast metal letters?", 86_400.0)


def test_a_film_that_is_no_talk_is_not_listened_to() -> None:
    silent = Said([], later=list(LECTURE), talk=False)
    assert not answered_by_lines(silent, "Where did the printers cast metal letters?", 120.0)
    assert silent.later


def test_what_was_not_seen_may_have_been_spoken_of() -> None:
    asked = inquiry(Said(list(LECTURE)), "Is there a printer in the video?", 120.0)
    assert asked.watched.heard is not None
    text = "".join(overheard.mentioned(asked.watched.heard, asked))
    assert text.startswith(" It was spoken of. At 0:00: “Chapter 0")
    unheard = inquiry(Said(list(LECTURE)), "Is there a whale in the video?", 120.0)
    assert unheard.watched.heard is not None
    assert "".join(overheard.mentioned(unheard.watched.heard, unheard)) == ""


def test_a_summary_quotes_a_few_lines_and_names_the_topics_of_many() -> None:
    few = inquiry(Said(LECTURE[:2]), "What happened?", 120.0)
    assert few.watched.heard is not None
    assert "".join(overheard.told(few.watched.heard, few, LECTURE[:2])).startswith("At 0:00: “Chapter 0")
    many = inquiry(Said(list(LECTURE)), "What happened?", 120.0)
    assert many.watched.heard is not None
    assert "topic" in "".join(overheard.told(many.watched.heard, many, LECTURE))
