"""Asking over MQTT: what comes in on `<camera>/ask/set` and what goes out on `<camera>/answer`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from llama_vid.clients.mqtt.source import Reply
from llama_vid.clients.mqtt.topics import iso

#: Letters of a question: as long as a page.
LONGEST_QUESTION: Final = 4000
LONGEST_ID: Final = 128


class BadRequest(ValueError):
    """What was sent cannot be taken; `id` is its correlation id where that could be read."""

    def __init__(self, message: str, id: str | None = None) -> None:
        super().__init__(message)
        self.id = id


@dataclass(frozen=True, slots=True)
class Request:
    """A question; `id` comes back with its answer."""

    id: str | None
    question: str


def read_request(payload: bytes) -> Request:
    """`{"id": …, "question": …}`, or a plain text, which is a question without an id. Raises BadRequest."""
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError:
        raise BadRequest("the request is not UTF-8 text") from None
    if not text.startswith(("{", "[", '"')):
        return Request(None, _question(text, None))
    try:
        tree: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise BadRequest('the request is not JSON; send {"id": "1", "question": "…"} or a plain question') from None
    if not isinstance(tree, dict):
        raise BadRequest('the request must be a JSON object such as {"id": "1", "question": "…"}')
    name = tree.get("id")
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if name is not None and not (isinstance(name, str) and 0 < len(name) <= LONGEST_ID):
        raise BadRequest(f"id must be a text of up to {LONGEST_ID} letters")
    if unknown := sorted(set(tree) - {"id", "question"}):
        raise BadRequest(f"unknown field {str(unknown[0])[:64]!r}; send id and question", name)
    question = tree.get("question")
    if not isinstance(question, str):
        raise BadRequest("question is missing, or no text", name)
    return Request(name, _question(question, name))


def _question(text: str, name: str | None) -> str:
    clean = text.encode(errors="replace").decode().strip()
    if not clean:
        raise BadRequest("the question is empty", name)
    if len(clean) > LONGEST_QUESTION:
        raise BadRequest(f"the question is longer than {LONGEST_QUESTION} letters", name)
    return clean


def answered(request: Request, reply: Reply) -> dict[str, Any]:
    """What goes out for an answer."""
    return {
        "id": request.id,
        "status": "completed",
        "question": request.question,
        "answer": reply.answer,
        "times": [iso(seconds) for seconds in reply.timestamps],
        "error": None,
    }


def failed(id: str | None, question: str | None, error: str) -> dict[str, Any]:
    """What goes out where there is no answer."""
    return {"id": id, "status": "failed", "question": question, "answer": "", "times": [], "error": error}
