"""A chat-completions API on loopback, as api.openai.com answers: it looks at the pictures, counts tokens, and can fail.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import base64
import io
import json
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np
from PIL import Image

from tests.conftest import read_second
from tests.peers.threaded import ThreadedServer

KEY = "sk-test-0123456789"
#: Tokens that a picture costs here, and the words of a message beside its own.
PICTURE_TOKENS, MESSAGE_TOKENS = 85, 8


class ChatServer(ThreadedServer):
    """`with ChatServer() as server: server.url`. It says yes about a film that begins with picture 0, no about others,
    and "Blue." to anything but a yes/no question. `failures` are HTTP statuses that the next requests get instead.
    """

    def __init__(self, *, counts: bool = True) -> None:
        self.requests: list[dict[str, Any]] = []
        self.seen: list[list[int]] = []
        self.failures: list[int] = []
        self.counts = counts
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = outer.answer(self.path, self.headers.get("Authorization", ""), json.loads(body))
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                if status == 429:
                    self.send_header("retry-after-ms", "10")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        super().__init__(Handler, "chat server")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def answer(self, path: str, bearer: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.requests.append(asked)
        if path != "/v1/chat/completions":
            return 404, _error("no such address", "not_found")
        if bearer != f"Bearer {KEY}":
            return 401, _error(f"Incorrect API key provided: {bearer}", "invalid_api_key")
        if self.failures:
            return (status := self.failures.pop(0)), _error(f"failing with {status}", "failing")
        content = asked["messages"][0]["content"]
        words = " ".join(part["text"] for part in content if part["type"] == "text")
        pictures = [_picture(part["image_url"]["url"]) for part in content if part["type"] == "image_url"]
        self.seen.append(pictures)
        said = "Blue."
        if "Answer yes or no." in words:
            said = "Yes, it is." if pictures and pictures[0] == 0 else "No."
        usage = {"prompt_tokens": MESSAGE_TOKENS + len(words.split()) + PICTURE_TOKENS * len(pictures)}
        usage |= {"completion_tokens": 2, "total_tokens": usage["prompt_tokens"] + 2}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        found = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked["model"]}
        return 200, found | {"choices": [choice]} | ({"usage": usage} if self.counts else {})


def _picture(url: str) -> int:
    """The number painted into a picture of a data URL."""
    head, data = url.split(",", 1)
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.format == "JPEG"
        return read_second(np.asarray(picture.convert("RGB")))


def _error(message: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "error", "param": None, "code": code}}
