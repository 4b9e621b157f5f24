"""An offline stand-in for the judge model of ActivityNet-QA and VideoChatGPT. Its figures are NOT the field's.

The tasks ask a chat model behind an OpenAI-compatible address for a verdict. This server answers in that model's place,
on loopback, by the program's own rule (`evaluation/judge.py`: key words, and MiniLM's cosine), the same verdict every
time. It shows that a run works from end to end, and compares one of our bundles with another. It says nothing that may
stand beside published figures.

    python -m evaluation.lmms.judge --port 8765
    OPENAI_API_URL=http://127.0.0.1:8765/v1/chat/completions lmms-eval … --tasks activitynetqa
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final

from evaluation.judge import Judgement

#: The name under which it answers, and which lmms-eval writes down.
NAME: Final = "llama-vid-offline-judge-not-comparable"
#: Judges a question, its reference and an answer.
Rule = Callable[[str, str, str], Judgement]
MOST: Final = 1 << 20  # bytes of a request

_ENDS: Final = r"(?=\n(?:Question|Correct Answer|Predicted Answer|Provide your)\b|\Z)"


def _field(name: str, text: str) -> str | None:
    found = re.search(rf"^{name}: (.*?){_ENDS}", text, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else None


def verdict(text: str, rule: Rule) -> tuple[bool, int]:
    """Right or not, and a score of 0…5, for the task's message to its judge. Raises ValueError for another message.

    Of two answers to two questions that mean the same (VideoChatGPT's consistency) the worse one counts.
    """
    reference = _field("Correct Answer", text)
    question, answer = _field("Question", text), _field("Predicted Answer", text)
    asked = [(question, answer)]
    if question is None:
        asked = [(_field(f"Question {n}", text), _field(f"Predicted Answer to Question {n}", text)) for n in (1, 2)]
    verdicts = []
    for question, answer in asked:
        if question is None or answer is None or reference is None:
            raise ValueError("a message to the judge names a question, a correct answer and a predicted answer")
        found = rule(question, reference, answer)
        alike = max(0, min(5, round(5 * found.cosine)))
        verdicts.append((found.right, max(alike, 4) if found.right else min(alike, 2)))
    return min(verdicts)


def reply(body: dict[str, Any], rule: Rule) -> dict[str, Any]:
    """The chat completion that answers a task's request. Raises ValueError, KeyError or TypeError for another one."""
    text = next(str(message["content"]) for message in reversed(body["messages"]) if message["role"] == "user")
    right, score = verdict(text, rule)
    content = str({"pred": "yes" if right else "no", "score": score})
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"object": "chat.completion", "model": NAME, "choices": [choice]}


def server(port: int, rule: Rule) -> HTTPServer:
    """A judge on loopback (port 0: any free one), ready for `serve_forever`. One request at a time."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                length = int(self.headers.get("Content-Length", "0"))
                if not 0 < length <= MOST:
                    raise ValueError(f"a request has 1 to {MOST} bytes")
                body, status = reply(json.loads(self.rfile.read(length)), rule), 200
            except (ValueError, KeyError, TypeError, StopIteration) as problem:
                body, status = {"error": {"message": f"not a task's request to its judge: {problem}"}}, 400
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Hundreds of requests a minute are not worth a line each."""

    return HTTPServer(("127.0.0.1", port), Handler)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.lmms.judge", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--port", type=int, default=8765)
    options = parser.parse_args(arguments)
    from evaluation.judge import judge
    from evaluation.meaning import Meaning

    meaning = Meaning()
    with server(
        options.port, lambda question, reference, answer: judge(question, reference, answer, meaning)
    ) as serving:
        print(f"{NAME} at http://127.0.0.1:{serving.server_port}/v1/chat/completions", flush=True)
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
