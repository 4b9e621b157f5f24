"""A vLLM server as its clients see it, on loopback, around a small transformers model.

Written from vLLM 0.32's documentation and what such a server answers: what is refused and with which words, one JSON
object an event, the usage at the end, `prompt_tokens_details` only where they were switched on, token ids beside the
text, and a prefix cache that knows whole blocks by a hash of all embeddings up to their end.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import http.server
import io
import json
import select
import socket
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from tests.peers.threaded import ThreadedServer


class Refused(Exception):
    """An error answer."""

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        super().__init__(message)
        kind = "NotFoundError" if status == 404 else "BadRequestError" if status < 500 else "InternalServerError"
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": status}}


class FakeVllm(ThreadedServer):
    """`with FakeVllm(module, tokenizer) as server: server.url`.

    `trouble` says what befalls the next requests for completions, one each: "503", "500", "401", "302", "page", "hang"
    (until `released`), "cut:2" (the connection ends after two chunks), "error:2" (an error event after two).
    """

    def __init__(
        self,
        module: Any,
        tokenizer: Tokenizer,
        *,
        name: str = "tiny",
        context: int = 2048,
        embeds: bool = True,
        key: str | None = None,
        block: int = 16,
        details: bool = True,
    ) -> None:
        self.module, self.tokenizer, self.name, self.context = module, tokenizer, name, context
        self.embeds, self.key, self.block, self.details = embeds, key, block, details
        self.trouble: list[str] = []
        self.health = 200
        self.version = "0.32.0"
        self.requests: list[dict[str, Any]] = []  # every completion's fields, the prompt's tensors decoded
        self.aborted = 0
        self.under_way = self.most_under_way = 0
        self.released = threading.Event()
        self.slow = threading.Event()  # set: a chunk is sent only when `released` is
        self.known: set[bytes] = set()
        self.cached: list[int] = []  # tokens that the prefix cache spared, by prompt
        self.lock = threading.Lock()
        super().__init__(self._handler(), "vllm")
        self.url = f"http://127.0.0.1:{self.port}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        super().__exit__(kind, error, trace)

    @property
    def embedding(self) -> Tensor:
        weight: Tensor = self.module.model.embed_tokens.weight
        return weight

    def prompts(self, body: dict[str, Any]) -> list[Tensor]:
        """The embeddings of every prompt of a request: first those under `prompt_embeds`, then those under `prompt`."""
        found = []
        given = body.get("prompt_embeds")
        for text in [] if given is None else given if isinstance(given, list) else [given]:
            found.append(self.tensor(text))
        words = body.get("prompt")
        if isinstance(words, str):
            words = [self.tokenizer.encode(words).ids]
        for ids in words or []:
            if max(ids) >= len(self.embedding):
                raise Refused(400, f"Token id {max(ids)} is out of vocabulary")
            found.append(self.embedding[torch.tensor(ids)])
        if not found:
            raise Refused(400, "Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
        for rows in found:
            if not len(rows):
                raise Refused(400, "The decoder prompt cannot be empty")
            if len(rows) > self.context - 1:
                raise Refused(
                    400,
                    f"This model's maximum context length is {self.context} tokens. However, your prompt contains "
                    f"{len(rows)} input tokens, which exceeds this limit even without any output tokens. Please reduce "
                    "the length of the input prompt. (parameter=input_tokens)",
                )
        return found

    def tensor(self, text: str) -> Tensor:
        if not self.embeds:
            raise Refused(400, "You must set `--enable-prompt-embeds` to input `prompt_embeds`.", "prompt_embeds")
        try:
            payload = base64.b64decode(text, validate=True)
        except binascii.Error as problem:
            raise Refused(400, str(problem)) from None
        rows = torch.load(io.BytesIO(payload), weights_only=True, map_location="cpu")
        if not isinstance(rows, Tensor):
            raise Refused(400, "`prompt_embeds` payload did not deserialize to a torch.Tensor.", "prompt_embeds")
        if rows.untyped_storage().nbytes() != rows.numel() * rows.element_size():
            raise AssertionError("more than the prompt was sent: torch.save writes all of a view's storage")
        rows = rows.squeeze(0) if rows.dim() > 2 else rows
        width = self.embedding.shape[1]
        if rows.dim() != 2:
            raise Refused(
                400,
                "`prompt_embeds` must be a 2D tensor of shape (num_tokens, hidden_size); got shape "
                f"{tuple(rows.shape)}.",
            )
        if rows.shape[1] != width:
            raise Refused(
                400,
                f"`prompt_embeds` hidden_size {rows.shape[1]} does not match the model's hidden_size {width}. "
                "(parameter=prompt_embeds)",
            )
        if not rows.is_floating_point():
            raise Refused(400, f"`prompt_embeds` dtype {rows.dtype} is not a floating-point type, cannot safely cast")
        return rows.to(self.embedding.dtype)

    def spared(self, rows: Tensor) -> int:
        """Tokens of a prompt that are in the prefix cache; then all its whole blocks are."""
        hashes, parent = [], b""
        for at in range(0, len(rows) - self.block + 1, self.block):
            own = hashlib.sha256(rows[at : at + self.block].contiguous().view(torch.uint8).numpy().tobytes()).digest()
            parent = hashlib.sha256(parent + own).digest()
            hashes.append(parent)
        found = 0
        for each in hashes[: (len(rows) - 1) // self.block]:  # the last token is always computed
            if each not in self.known:
                break
            found += self.block
        self.known.update(hashes)
        self.cached.append(found)
        return found

    def tokens(self, rows: Tensor, body: dict[str, Any], draw: int) -> Iterator[tuple[int, str | None, Tensor]]:
        """Token after token, why it was the last one if it was, and the log-probabilities it was chosen by."""
        allowed = body.get("allowed_token_ids")
        ends = {self.module.config.eos_token_id}
        stop = set(body.get("stop_token_ids") or [])
        most = min(body.get("max_tokens") or 16, self.context - len(rows))
        heat = 1.0 if body.get("temperature") is None else float(body["temperature"])
        generator = torch.Generator().manual_seed(int(body.get("seed") or 0) + draw)
        for count in range(1, most + 1):
            with torch.no_grad(), self.lock:
                scores = self.module(inputs_embeds=rows[None]).logits[0, -1].float()
            raw = scores.log_softmax(-1)  # probabilities are told before anything is ruled out
            if allowed is not None:
                ruled = torch.full_like(scores, float("-inf"))
                ruled[allowed] = scores[allowed]
                scores = ruled
            if heat == 0:
                token = int(scores.argmax())
            else:
                scores = scores / heat
                if top := int(body.get("top_k") or 0):
                    scores = scores.masked_fill(scores < scores.topk(top).values[-1], float("-inf"))
                token = int(torch.multinomial(scores.softmax(-1), 1, generator=generator))
            over = "stop" if token in ends | stop else "length" if count == most else None
            yield token, over, raw
            if over:
                return
            rows = torch.cat([rows, self.embedding[token : token + 1]])

    def text(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def logprobs(self, found: list[tuple[int, str | None, Tensor]], count: int) -> dict[str, Any]:
        """As asked for with `return_tokens_as_token_ids`: the chosen token, then the `count` likeliest."""
        rows = []
        for token, _, raw in found:
            best = raw.topk(min(count, len(raw)))
            row = {f"token_id:{token}": float(raw[token])}
            row |= {f"token_id:{i}": float(v) for i, v in zip(best.indices.tolist(), best.values.tolist(), strict=True)}
            rows.append(row)
        return {
            "tokens": [f"token_id:{token}" for token, _, _ in found],
            "token_logprobs": [float(raw[token]) for token, _, raw in found],
            "top_logprobs": rows,
        }

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request that is not streamed."""
        choices = []
        for rows in self.prompts(body):
            self.spared(rows)
            for draw in range(int(body.get("n") or 1)):
                found = list(self.tokens(rows, body, draw))
                ids = [token for token, _, _ in found]
                over = found[-1][1]
                choice: dict[str, Any] = {
                    "index": len(choices), "text": self.text(ids), "finish_reason": over,
                    "stop_reason": ids[-1] if over == "stop" else None, "logprobs": None,
                }  # fmt: skip
                if body.get("return_token_ids"):
                    choice |= {"token_ids": ids, "prompt_token_ids": [0] * len(rows)}
                if body.get("logprobs") is not None:
                    choice["logprobs"] = self.logprobs(found, int(body["logprobs"]))
                choices.append(choice)
        return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": self.name, "choices": choices}

    def events(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of a streamed request."""
        (rows,) = self.prompts(body)
        spared = self.spared(rows)
        ids: list[int] = []
        for token, over, _ in self.tokens(rows, body, 0):
            before = self.text(ids)
            ids.append(token)
            text = "" if over == "stop" else self.text(ids)[len(before) :]
            choice: dict[str, Any] = {"index": 0, "text": text, "logprobs": None, "finish_reason": over}
            if body.get("return_token_ids"):
                choice["token_ids"] = [token]
            yield {"id": "cmpl-1", "object": "text_completion", "model": self.name, "choices": [choice]}
        if (body.get("stream_options") or {}).get("include_usage"):
            usage: dict[str, Any] = {"prompt_tokens": len(rows), "completion_tokens": len(ids)}
            if self.details:
                usage["prompt_tokens_details"] = {"cached_tokens": spared}
            yield {"id": "cmpl-1", "object": "text_completion", "model": self.name, "choices": [], "usage": usage}

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing: pytest's output is for pytest."""

            def do_GET(self) -> None:
                if self.path == "/health":
                    self._send(fake.health, b"")
                elif not self._let_in():
                    self._json(401, {"error": "Unauthorized"})
                elif self.path == "/version":
                    self._json(200, {"version": fake.version})
                elif self.path == "/v1/models":
                    card = {"id": fake.name, "object": "model", "owned_by": "vllm", "max_model_len": fake.context}
                    self._json(200, {"object": "list", "data": [card]})
                else:
                    self._json(404, {"detail": "Not Found"})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with fake.lock:
                    fake.under_way += 1
                    fake.most_under_way = max(fake.most_under_way, fake.under_way)
                try:
                    self._complete(body)
                except Refused as refused:
                    self._json(refused.status, refused.body)
                except (BrokenPipeError, ConnectionResetError):
                    fake.aborted += 1
                    self.close_connection = True
                finally:
                    with fake.lock:
                        fake.under_way -= 1

            def _complete(self, body: dict[str, Any]) -> None:
                if not self._let_in():
                    self._json(401, {"error": "Unauthorized"})
                    return
                if body.get("model") not in (None, fake.name):
                    raise Refused(404, f"The model `{body['model']}` does not exist.", "model")
                asked = body.get("stream") or "temperature" in body
                trouble = fake.trouble.pop(0) if fake.trouble and asked else ""
                fake.requests.append(body)
                if trouble == "page":
                    self._send(200, b"<html>a router's page</html>")
                elif trouble == "302":
                    self._send(302, b"", {"Location": "http://127.0.0.1:9/elsewhere"})
                elif trouble.isdigit():
                    raise Refused(int(trouble), "EngineCore encountered an issue.")
                elif trouble == "hang":
                    fake.released.wait(20)
                    self.close_connection = True
                elif body.get("stream"):
                    self._stream(body, trouble)
                else:
                    self._json(200, fake.completion(body))

            def _stream(self, body: dict[str, Any], trouble: str) -> None:
                kind, _, after = trouble.partition(":")
                events = fake.events(body)
                first = next(events)  # what is wrong with the request is told before the stream begins
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream; charset=utf-8")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for number, event in enumerate(_chained(first, events)):
                    if kind and number == int(after):
                        if kind == "error":
                            self._event({"error": {"message": "EngineCore died", "type": "x", "code": 500}})
                        else:
                            self.connection.shutdown(socket.SHUT_RDWR)
                            self.close_connection = True
                            return
                    while fake.slow.is_set() and not fake.released.wait(0.005):
                        if self._gone():
                            raise BrokenPipeError
                    self._event(event)
                self._chunk(b"data: [DONE]\n\n")
                self._chunk(b"")

            def _gone(self) -> bool:
                ready, _, _ = select.select([self.connection], [], [], 0)
                return bool(ready) and self.connection.recv(1, socket.MSG_PEEK) == b""

            def _event(self, event: dict[str, Any]) -> None:
                self._chunk(b"data: " + json.dumps(event).encode() + b"\n\n")

            def _chunk(self, data: bytes) -> None:
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.flush()

            def _let_in(self) -> bool:
                return fake.key is None or self.headers.get("Authorization") == f"Bearer {fake.key}"

            def _json(self, status: int, body: dict[str, Any]) -> None:
                self._send(status, json.dumps(body).encode(), {"Content-Type": "application/json"})

            def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler


def _chained(first: dict[str, Any], rest: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield first
    yield from rest
