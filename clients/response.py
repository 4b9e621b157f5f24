"""One question of a websocket client, from `response.created` to `response.done`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from llama_vid.clients.live import AskableCamera, frame_url
from llama_vid.clients.protocol import (
    Evidence,
    Failure,
    ResponseDone,
    ResponseStatus,
    ServerMessage,
    TextDelta,
    Usage,
)
from llama_vid.errors import LlamaVidError
from llama_vid.llm.answer import Answer

logger = logging.getLogger(__name__)


class Response:
    """Streams the answers of one or several cameras, one after another; then knows the `response.done` that ends it.

    With several cameras each answer is a paragraph that begins with the camera's name.
    """

    def __init__(
        self, response_id: str, cameras: Sequence[tuple[str, AskableCamera]], put: Callable[[ServerMessage], None]
    ):
        self.response_id = response_id
        self._cameras = cameras
        self._put = put
        self._status: ResponseStatus = "cancelled"  # until it comes to its end by itself
        self._error: Failure | None = None
        self._seq = 0
        self._streamed = ""
        self._answers: list[tuple[str, Answer]] = []
        self._started = time.monotonic()
        self._first_token_s = 0.0

    async def run(self, question: str, conversation: str | None) -> None:
        """Asks and streams. A failure ends in the status `failed`; only cancellation is raised."""
        try:
            for name, camera in self._cameras:
                if len(self._cameras) > 1:
                    self._say(f"{chr(10) * 2 if self._streamed else ''}{name}: ")
                await self._ask(name, camera, question, conversation)
            self._status = "completed"
        except LlamaVidError as problem:
            self._status, self._error = "failed", Failure(code=problem.code, message=str(problem))
        except Exception:  # the edge of the process towards a client: the server outlives what one question runs into
            logger.exception("Response %s failed", self.response_id)
            message = "The answer failed inside the server; its log says why. Ask again."
            self._status, self._error = "failed", Failure(code="internal", message=message)

    def done(self) -> ResponseDone:
        """The message that ends this response."""
        evidence = [
            Evidence(
                camera=name,
                start=item.start,
                end=item.end,
                score=item.score,
                caption=item.caption,
                frame_url=frame_url(name, _picture_time(item.start, item.end, answer)),
            )
            for name, answer in self._answers
            for item in answer.evidence
        ]
        whole = len(self._cameras) == 1 and self._answers and self._status == "completed"
        return ResponseDone(
            response_id=self.response_id,
            status=self._status,
            answer=self._answers[0][1].answer if whole else self._streamed,
            timestamps=sorted({t for _, answer in self._answers for t in answer.timestamps}),
            evidence=evidence,
            usage=Usage(
                frames=sum(answer.tokens.frames for _, answer in self._answers),
                video=sum(answer.tokens.video for _, answer in self._answers),
                per_frame=max((answer.tokens.per_frame for _, answer in self._answers), default=2),
                first_token_s=round(self._first_token_s, 4),
                total_s=round(time.monotonic() - self._started, 4),
            ),
            error=self._error,
        )

    async def _ask(self, name: str, camera: AskableCamera, question: str, conversation: str | None) -> None:
        pieces = camera.ask(question, conversation=conversation)
        try:
            async for piece in pieces:
                if piece.delta:
                    self._say(piece.delta)
                    if not self._first_token_s:  # a camera's name before its answer does not count
                        self._first_token_s = time.monotonic() - self._started
                if piece.answer is not None:
                    self._answers.append((name, piece.answer))
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()

    def _say(self, delta: str) -> None:
        self._put(TextDelta(response_id=self.response_id, seq=self._seq, delta=delta))
        self._seq += 1
        self._streamed += delta


def _picture_time(start: float, end: float, answer: Answer) -> float:
    """The time of a frame that the answer rests on, inside a span of its evidence; else the span's start."""
    return next((seconds for seconds in answer.timestamps if start <= seconds <= end), start)
