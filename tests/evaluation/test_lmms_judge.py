"""The offline judge reads the tasks' own messages, and answers in the words that the tasks read."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from http.server import HTTPServer

import httpx
import pytest

from evaluation.judge import Judgement
from evaluation.lmms.judge import NAME, reply, server, verdict


def rule(question: str, reference: str, answer: str) -> Judgement:
    """Right is what is the reference; as alike as the shares of their first words."""
    assert question
    right = reference.lower() == answer.lower()
    return Judgement(right, right, right, 1.0 if right else 0.35)


def pair(answer: str) -> str:
    """The message of ActivityNet-QA's and VideoChatGPT's tasks about one question."""
    return (
        "Please evaluate the following video-based question-answer pair:\n\n"
        "Question: What is there?\n"
        "Correct Answer: A dog.\n"
        f"Predicted Answer: {answer}\n\n"
        "Provide your evaluation only as a yes/no and score where the score is an integer value between 0 and 5, with "
        "5 indicating the highest meaningful match. For example, your response should look like this: "
        "{'pred': 'yes', 'score': 4.8}."
    )


def consistency(one: str, other: str) -> str:
    """The message of VideoChatGPT's consistency task."""
    return (
        "Please evaluate the following video-based question-answer pair:\n\n"
        "Question 1: What is there?\nQuestion 2: Which animal is it?\nCorrect Answer: A dog.\n"
        f"Predicted Answer to Question 1: {one}\nPredicted Answer to Question 2: {other}\n\n"
        "Provide your evaluation only as a consistency score where the consistency score is an integer value between 0 "
        "and 5, with 5 indicating the highest level of consistency. "
    )


@pytest.fixture
def judging() -> Iterator[HTTPServer]:
    with server(0, rule) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,), name="judge")
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (pair("A dog."), (True, 5)),
        (pair("A cat."), (False, 2)),
        (pair("A cat\non two lines."), (False, 2)),
        (pair(""), (False, 2)),
        (consistency("A dog.", "a dog."), (True, 5)),
        (consistency("A dog.", "A cat."), (False, 2)),
    ],
)
def test_verdicts(message: str, wanted: tuple[bool, int]) -> None:
    assert verdict(message, rule) == wanted


def test_a_right_answer_in_other_words_has_four() -> None:
    assert verdict(pair("x"), lambda *_: Judgement(True, False, True, 0.1)) == (True, 4)


def test_other_messages_are_refused() -> None:
    with pytest.raises(ValueError, match="names a question"):
        verdict("Say something nice.", rule)
    with pytest.raises(StopIteration):
        reply({"messages": [{"role": "system", "content": "x"}]}, rule)


def test_a_task_reads_what_the_server_says(judging: HTTPServer) -> None:
    address = f"http://127.0.0.1:{judging.server_port}/v1/chat/completions"
    messages = [{"role": "system", "content": "You judge."}, {"role": "user", "content": pair("A dog.")}]
    said = httpx.post(address, json={"model": "gpt-4o-2024-11-20", "messages": messages, "max_tokens": 64}).json()
    assert said["model"] == NAME
    assert "not-comparable" in NAME
    # As the tasks do: a Python dictionary in the first choice's message.
    assert ast.literal_eval(said["choices"][0]["message"]["content"]) == {"pred": "yes", "score": 5}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"messages": []}', b'{"messages": [{"role": "user"}]}'])
def test_what_is_no_request_gets_an_error_and_the_next_one_an_answer(judging: HTTPServer, body: bytes) -> None:
    address = f"http://127.0.0.1:{judging.server_port}/v1/chat/completions"
    refused = httpx.post(address, content=body)
    assert refused.status_code == 400
    assert "not a task's request" in refused.json()["error"]["message"]
    messages = [{"role": "user", "content": pair("A cat.")}]
    assert httpx.post(address, json={"messages": messages}).status_code == 200
