"""LocalAgreement-2, loops, and doubt: what is committed, and what never is."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from llama_vid.llm.speech.agreement import Agreement
from llama_vid.llm.speech.doubt import Doubt
from llama_vid.llm.speech.lines import Sentences
from llama_vid.llm.speech.repeats import cut_repeats, without_rushed
from llama_vid.llm.speech.words import Word, ends_sentence, key


def words(text: str, first: float = 0.0, each: float = 0.5, probability: float = 0.9) -> list[Word]:
    return [Word(first + n * each, first + (n + 1) * each, w, probability) for n, w in enumerate(text.split())]


def said(found: tuple[Word, ...]) -> str:
    return " ".join(word.text for word in found)


def test_what_two_recognitions_agree_on_is_committed() -> None:
    agreement = Agreement()
    assert agreement.insert(words("the quick brow")) == ()
    assert said(agreement.insert(words("The quick brown fox"))) == "The quick"
    assert said(agreement.tail) == "brown fox"
    assert said(agreement.insert(words("The quick brown fox jumps"))) == "brown fox"
    assert said(agreement.settle()) == "jumps"
    assert agreement.tail == ()


def test_committed_words_are_found_again_however_they_are_heard() -> None:
    agreement = Agreement()
    for text in ("we hold these truths", "we hold these truths to", "we hold these truths to be self"):
        agreement.insert(words(text))
    assert said(tuple(agreement.committed)) == "we hold these truths to"
    # One word is heard as two, another is missing: still nothing is said twice or swallowed.
    assert said(agreement.insert(words("we hold the stroop to be self evident"))) == "be self"
    assert said(agreement.tail) == "evident"


def test_the_edge_waits_and_what_is_old_does_not() -> None:
    agreement = Agreement()
    agreement.insert(words("one two three"))
    assert said(agreement.insert(words("one two three"), edge=1.2)) == "one two"
    assert said(agreement.insert(words("one two tree four"), settled=1.6)) == "tree"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=12), max_size=8))
def test_committed_words_never_change_and_never_overlap(hypotheses: list[list[str]]) -> None:
    agreement, committed = Agreement(), list[Word]()
    for hypothesis in hypotheses:
        committed += agreement.insert(words(" ".join(hypothesis)))
        assert tuple(agreement.committed) == tuple(committed)
    for before, after in itertools.pairwise(committed):
        assert before.end <= after.start <= after.end


def test_loops_are_cut_where_they_begin() -> None:
    assert said(cut_repeats(words("no no no he said"))) == "no no no he said"
    assert said(cut_repeats(words("well I I I I I I I"))) == "well I"
    assert said(cut_repeats(words("so I don't know, I don't know, I don't know, I don't"))) == "so I don't know,"
    assert said(cut_repeats(words("thank you. Thank you. thank you thank you"))) == "thank you."
    sentence = "ask not what your country can do for you ask what you can do for your country"
    assert said(cut_repeats(words(sentence))) == sentence
    # A loop that began in what is committed already adds nothing.
    assert cut_repeats(words("I don't know"), words("I don't know, I don't know,")) == ()


def test_words_that_nobody_could_say_so_fast_are_left_out() -> None:
    """What Whisper made up in pauses of a real lecture."""
    said = [Word(10.0 + n, 10.4 + n, text, 0.9) for n, text in enumerate(["fine", "in", "form."])]
    made_up = [
        Word(626.45 + n / 200, 626.45 + n / 200, text, 0.7) for n, text in enumerate(["Thank", "you", "very", "much."])
    ]
    late = [
        Word(861.23, 861.35, "We'll", 0.8),
        *(Word(861.35, 861.37 + n / 50, t, 0.8) for n, t in enumerate(("see", "you"))),
    ]
    assert without_rushed([*said, *made_up, *late]) == tuple(said)
    assert without_rushed([*said, Word(13.0, 13.0, "so", 0.9), Word(13.02, 13.05, "it", 0.9)])[3:] != ()


def test_unsure_words_are_not_believed_until_they_are_sure_again() -> None:
    doubt = Doubt()
    assert len(doubt.sift(words("one unsure beginning", probability=0.5))) == 3
    assert doubt.sift(words("das ist ein ganz anderer Satz", probability=0.3)) == ()
    assert doubt.unclear
    doubt.sift(words("and then it goes on in English again", probability=0.95))
    assert not doubt.unclear


def test_sentences_are_lines() -> None:
    sentences = Sentences()
    assert sentences.push(words("It is late. We")) != []
    (line,) = sentences.push([*words("go home", 1.5), *words("Later", 9.0)])
    assert (line.text, line.start, line.end) == ("We go home", 1.5, 2.5)
    assert [line.text for line in sentences.finish()] == ["Later"]
    assert sentences.finish() == []


def test_words_are_compared_without_case_and_marks() -> None:
    assert key("It's,") == key("its")
    assert key("—") == "—"
    assert ends_sentence('done."')
    assert not ends_sentence("done,")
