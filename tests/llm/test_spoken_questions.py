"""Questions about what was said, and those that only sound like it."""

from __future__ import annotations

import pytest

from llama_vid.llm.questions import sort_question
from llama_vid.llm.spoken_questions import AboutSpeech, Spoken, about_speech, topic_of

SAID, WHEN, TOPICS, WHETHER = Spoken.SAID, Spoken.WHEN, Spoken.TOPICS, Spoken.WHETHER
ASKED = [
    ("What did the speaker say about X-rays?", SAID, "x-rays", ""),
    ("What did the speaker say about the Gutenberg Bible?", SAID, "the gutenberg bible", ""),
    ("What does he say printing is?", SAID, "printing", ""),
    ("Tell me what was said about fonts in the last 10 minutes", SAID, "fonts", ""),
    ("What did Kennedy tell Americans about their country?", SAID, "their country", ""),
    ("What is fine typography, according to the speaker?", SAID, "fine typography", ""),
    ("How does the lecturer explain printing?", SAID, "printing", ""),
    ("Who mentioned Gutenberg?", SAID, "gutenberg", ""),
    ("Quote what the speaker said about type", SAID, "type", ""),
    ("What was said in the first minute?", SAID, "", ""),
    ("What did the speaker just say?", SAID, "", "last"),
    ("What was the last thing he said?", SAID, "", "last"),
    ("What do you hear?", SAID, "", ""),
    ("What was said about it?", SAID, "it", ""),
    ("When was calligraphy mentioned?", WHEN, "calligraphy", ""),
    ("When was the word calligraphy first mentioned?", WHEN, "calligraphy", "first"),
    ('At what time did she first say "printing"?', WHEN, "printing", "first"),
    ("When did the speaker talk about the Middle Ages?", WHEN, "the middle ages", ""),
    ("Where in the lecture is calligraphy discussed?", WHEN, "calligraphy", ""),
    ("Find the part where they talk about movable types.", WHEN, "movable types", ""),
    ("How many times was Gutenberg mentioned?", Spoken.HOW_OFTEN, "gutenberg", ""),
    ("How long did she talk about printing?", Spoken.HOW_LONG, "printing", ""),
    ("Did anyone say fire?", WHETHER, "fire", ""),
    ("Was Gutenberg mentioned?", WHETHER, "gutenberg", ""),
    ("Did you hear anything about fonts?", WHETHER, "fonts", ""),
    ("What topics were covered in the first 30 minutes?", TOPICS, "", ""),
    ("What is the lecture about?", TOPICS, "", ""),
    ("What was discussed so far?", TOPICS, "", ""),
    ("Summarise the lecture.", TOPICS, "", ""),
    ("What is the speaker talking about?", TOPICS, "", ""),
]
NOT_ASKED = [
    "What does the sign say?",
    "Does the text say hello?",
    "Is the man talking on the phone?",
    "Is a man talking to the camera?",
    "Who is talking?",
    "When does the man speak?",
    "Is someone giving a talk or a speech?",
    "Is the car covered in snow?",
    "When is the guest introduced?",
    "Are there subtitles?",
    "What happened so far?",
    "What colour is the dog?",
    "Describe the video.",
]


@pytest.mark.parametrize(("text", "kind", "topic", "which"), ASKED)
def test_a_question_about_what_was_said(text: str, kind: Spoken, topic: str, which: str) -> None:
    assert about_speech(sort_question(text, 0.0, 3600.0)) == AboutSpeech(kind, topic, which)


@pytest.mark.parametrize("text", NOT_ASKED)
def test_a_question_about_what_is_seen(text: str) -> None:
    assert about_speech(sort_question(text, 0.0, 3600.0)) is None


def test_the_time_is_no_part_of_the_topic() -> None:
    asked = sort_question("What was said about fonts between 3 and 4?", 0.0, 3600.0)
    assert asked.span is not None
    assert about_speech(asked) == AboutSpeech(SAID, "fonts")


def test_a_follow_up_is_about_the_topic() -> None:
    assert topic_of(sort_question("What did the speaker say about printing?")) == "printing"
    assert topic_of(sort_question("When is the dog seen?")) == "the dog"
