"""The offline judge reads each task's message to its judge, answers in the task's form, and refuses anything else."""

from __future__ import annotations

import ast
import json
import threading
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from evaluation.judge import Judgement
from evaluation.lmms.judge import NAME, server, verdict
from evaluation.lmms.prompts import brief, read_prompt
from tests.evaluation.lmms_mini import MINIS

ONE = (
    "Please evaluate the following video-based question-answer pair:\n\nQuestion: {q}\nCorrect Answer: {a}\n"
    "Predicted Answer: {p}\n\nProvide your evaluation only as a yes/no and score …"
)
TWO = (
    "Please evaluate the following video-based question-answer pair:\n\nQuestion 1: {q}\nQuestion 2: {q2}\n"
    "Correct Answer: {a}\nPredicted Answer to Question 1: {p}\nPredicted Answer to Question 2: {p2}\n\n"
    "Provide your evaluation only as a consistency score …"
)


def same(question: str, reference: str, answer: str) -> Judgement:
    """Right where answer and reference are the same; half alike where they begin alike."""
    right = reference == answer
    return Judgement(right, right, right, 1.0 if right else 0.5 * (reference[:1] == answer[:1]))


def test_verdicts() -> None:
    assert verdict(ONE.format(q="what", a="a dog", p="a dog"), same) == (True, 5)
    assert verdict(ONE.format(q="what", a="a dog", p="a cat"), same) == (False, 2)
    assert verdict(ONE.format(q="what", a="a dog", p=""), same) == (False, 0)
    assert verdict(ONE.format(q="what", a="two\nlines", p="two\nlines"), same) == (True, 5)
    pair = {"q": "what", "q2": "what else", "a": "a dog"}
    assert verdict(TWO.format(**pair, p="a dog", p2="a dog"), same) == (True, 5)
    assert verdict(TWO.format(**pair, p="a dog", p2="snow"), same) == (False, 0), "the worse of two counts"
    with pytest.raises(ValueError, match="names a question"):
        verdict("Tell me a joke.", same)


@pytest.fixture
def address() -> Iterator[str]:
    with server(0, same) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}/v1/chat/completions"
        serving.shutdown()
        thread.join()


def test_over_http_as_the_tasks_ask(address: str) -> None:
    messages = [{"role": "system", "content": "judge"}, {"role": "user", "content": ONE.format(q="w", a="x", p="x")}]
    body = json.dumps({"model": "gpt-4o-2024-11-20", "messages": messages, "max_tokens": 64}).encode()
    with urlopen(Request(address, body, {"Content-Type": "application/json"})) as response:
        found = json.load(response)
    assert found["model"] == NAME
    assert "not-comparable" in NAME
    assert ast.literal_eval(found["choices"][0]["message"]["content"]) == {"pred": "yes", "score": 5}


@pytest.mark.parametrize("body", [b"", b"{}", b"no json", b'{"messages": [{"role": "user", "content": "hello"}]}'])
def test_other_requests_are_refused(address: str, body: bytes) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(address, body))
    assert refused.value.code == 400
    assert "not a task's request" in json.load(refused.value)["error"]["message"]


@pytest.mark.parametrize("mini", MINIS, ids=lambda mini: mini.name)
def test_prompts_lose_what_they_say_about_the_form(mini: object) -> None:
    from tests.evaluation.lmms_mini import Mini

    assert isinstance(mini, Mini)
    for prompt in mini.prompts:
        asked = read_prompt(prompt)
        assert "answer" not in asked.question.lower()
        assert "option" not in asked.question.lower()
        assert "\n" not in asked.question
        assert asked.brief == (mini.name in ("activitynetqa", "nextqa_oe"))
        assert (asked.choices is not None) == (mini.name in ("mvbench", "videomme", "nextqa_mc"))


def test_prompts_of_other_kinds() -> None:
    assert read_prompt("<video>\nWhat is it?").question == "What is it?"
    assert read_prompt("Answer with only one word.").question == "Answer with only one word."
    lead = "Select the best answer to the following multiple-choice question based on the video."
    asked = read_prompt(
        f"This video's subtitles are listed below:\nA. no option\n{lead}\nWhat?\nA. x\nB. y\nThe best answer is:"
    )
    assert asked.question == "What?"
    assert asked.choices is not None
    assert asked.choices.options == ("x", "y")


def test_brief() -> None:
    assert [brief(text) for text in ("Yes, at 0:03.", "no", "Nobody.", "A dog.")] == ["Yes", "No", "Nobody.", "A dog."]
