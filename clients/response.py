"""One question of a client, from its beginning to `response.done`, put to one camera or to several."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from llama_vid.clients.closing import MESSAGE, SHUTDOWN
from llama_vid.clients.live import AskableCamera, CameraDirectory, frame_url
from llama_vid.clients.protocol import (
    CameraAnswer,
    Evidence,
    Failure,
    ResponseDone,
    ResponseStatus,
    ServerMessage,
    TextDelta,
    Usage,
)
from llama_vid.errors import LlamaVidError, ProtocolError
from llama_vid.llm.answer import Answer, AnswerPiece

logger = logging.getLogger(__name__)

#: Cameras of one question that are asked at the same time: what one batch of the model decodes together.
AT_ONCE = 8
#: Why a camera cannot be asked just now.
NOT_NOW = frozenset({"not_ready", "camera_failed"})


class Unaskable:
    """A camera that cannot be asked now, among others that can: its part of the answer says why."""

    def __init__(self, problem: LlamaVidError) -> None:
        self._problem = problem

    async def ask(
        self, question: str, *, conversation: str | None = None, earlier: Sequence[str] = ()
    ) -> AsyncIterator[AnswerPiece]:
        """Raises the problem."""
        raise self._problem
        yield  # makes this a generator


def askable_cameras(directory: CameraDirectory, names: Sequence[str]) -> list[tuple[str, AskableCamera]]:
    """The cameras by name. Of several, those that cannot be asked now say so in their part of the answer.

    Raises ProtocolError for one that there is not, and where none can be asked.
    """
    found: list[tuple[str, AskableCamera]] = []
    problems: list[ProtocolError] = []
    for name in names:
        try:
            found.append((name, directory.askable(name)))
        except ProtocolError as problem:
            if problem.code not in NOT_NOW:
                raise
            problems.append(problem)
            found.append((name, Unaskable(problem)))
    if len(problems) == len(found):
        raise problems[0]
    return found


@dataclass(slots=True, eq=False)
class _Part:
    """What one camera says."""

    name: str
    camera: AskableCamera
    waiting: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)  # None: it is over
    text: str = ""
    answer: Answer | None = None
    error: Failure | None = None


class Response:
    """Streams the answers of one or several cameras; then knows the `response.done` that ends it.

    Several cameras are asked at the same time. Their answers are paragraphs in the order in which they were named, each
    beginning with its camera's name; one that cannot answer says so in its paragraph, and the others go on. The
    response fails where none could answer.
    """

    def __init__(
        self, response_id: str, cameras: Sequence[tuple[str, AskableCamera]], put: Callable[[ServerMessage], None]
    ):
        self.response_id = response_id
        self._parts = [_Part(name, camera) for name, camera in cameras]
        self._put = put
        self._status: ResponseStatus = "cancelled"  # until it comes to its end by itself
        self._error: Failure | None = None
        self._stopped: Failure | None = None  # why it ends before its time
        self._limit: asyncio.Timeout | None = None
        self._seq = 0
        self._streamed = ""
        self._started = time.monotonic()
        self._first_token_s = 0.0

    async def run(self, question: str, conversation: str | None) -> None:
        """Asks and streams. A failure ends in the status `failed`; only cancellation is raised."""
        try:
            async with asyncio.timeout(None) as self._limit:
                if self._stopped is not None:
                    self._limit.reschedule(0.0)
                await self._stream(question, conversation)
            self._end()
        except TimeoutError:  # only `stop` sets the limit; an answer's own is a failure of its part
            self._status, self._error = "failed", self._stopped
            for part in self._parts:
                part.error = part.error or (self._error if part.answer is None else None)
        finally:
            self._limit = None  # it is over: there is nothing left to stop
            self._log()

    def stop(self, why: Failure | None = None) -> None:
        """The answer fails now: with code shutdown, as the server is about to stop, unless another reason is given."""
        self._stopped = self._stopped or why or Failure(code=SHUTDOWN, message=MESSAGE)
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())

    def done(self) -> ResponseDone:
        """The message that ends this response."""
        answers = [(part.name, part.answer) for part in self._parts if part.answer is not None]
        evidence = [
            Evidence(
                camera=name,
                start=item.start,
                end=item.end,
                score=item.score,
                caption=item.caption,
                frame_url=frame_url(name, _picture_time(item.start, item.end, answer)),
            )
            for name, answer in answers
            for item in answer.evidence
        ]
        whole = len(self._parts) == 1 and answers and self._status == "completed"
        return ResponseDone(
            response_id=self.response_id,
            status=self._status,
            answer=answers[0][1].answer if whole else self._streamed,
            timestamps=sorted({t for _, answer in answers for t in answer.timestamps}),
            evidence=evidence,
            answers=[_said(part) for part in self._parts] if len(self._parts) > 1 else [],
            usage=Usage(
                frames=sum(answer.tokens.frames for _, answer in answers),
                video=sum(answer.tokens.video for _, answer in answers),
                per_frame=max((answer.tokens.per_frame for _, answer in answers), default=2),
                first_token_s=round(self._first_token_s, 4),
                total_s=round(time.monotonic() - self._started, 4),
                engine=", ".join(dict.fromkeys(answer.engine for _, answer in answers)) or "local",
                note="; ".join(dict.fromkeys(answer.note for _, answer in answers if answer.note)),
            ),
            error=self._error,
        )

    async def _stream(self, question: str, conversation: str | None) -> None:
        """Has all parts asked and says them one after another."""
        turn = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for part in self._parts:
                work = self._ask(part, question, conversation, turn)
                group.create_task(work, name=f"{self.response_id}-{part.name}")
            for part in self._parts:
                if len(self._parts) > 1:
                    self._say(f"{chr(10) * 2 if self._streamed else ''}{part.name}: ")
                while (delta := await part.waiting.get()) is not None:
                    self._say(delta)
                    if not self._first_token_s:  # a camera's name before its answer does not count
                        self._first_token_s = time.monotonic() - self._started
                if part.error is not None and len(self._parts) > 1:
                    self._say(f"{'' if part.text[-1:] in ('', ' ') else ' '}[no answer: {part.error.message}]")

    async def _ask(self, part: _Part, question: str, conversation: str | None, turn: asyncio.Semaphore) -> None:
        """One camera's part; what fails in it stays in it."""
        try:
            async with turn:
                await self._read(part, part.camera.ask(question, conversation=conversation))
        except LlamaVidError as problem:
            part.error = Failure(code=problem.code, message=str(problem))
        except Exception:  # the edge of the process towards a client: the server outlives what one question runs into
            logger.exception("Response %s failed", self.response_id)
            message = "The answer failed inside the server; its log says why. Ask again."
            part.error = Failure(code="internal", message=message)
        finally:
            part.waiting.put_nowait(None)

    @staticmethod
    async def _read(part: _Part, pieces: AsyncIterator[AnswerPiece]) -> None:
        try:
            async for piece in pieces:
                if piece.delta:
                    part.text += piece.delta
                    part.waiting.put_nowait(piece.delta)
                if piece.answer is not None:
                    part.answer = piece.answer
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()

    def _end(self) -> None:
        failed = [part.error for part in self._parts if part.error is not None]
        if len(failed) == len(self._parts):
            self._status, self._error = "failed", failed[0]
        else:
            self._status = "completed"

    def _say(self, delta: str) -> None:
        self._put(TextDelta(response_id=self.response_id, seq=self._seq, delta=delta))
        self._seq += 1
        self._streamed += delta

    def _log(self) -> None:
        """How it ended; never what was asked or answered."""
        cameras = ", ".join(part.name for part in self._parts)
        why = f" ({self._error.code})" if self._error is not None else ""
        logger.info(
            "Response %s about %s: %s%s after %.2f s",
            *(self.response_id, cameras, self._status, why, time.monotonic() - self._started),
            extra={"response": self.response_id, "camera": cameras},
        )


def _said(part: _Part) -> CameraAnswer:
    answer = part.answer
    return CameraAnswer(
        camera=part.name,
        answer=answer.answer if answer is not None else part.text,
        timestamps=list(answer.timestamps) if answer is not None else [],
        error=part.error,
    )


def _picture_time(start: float, end: float, answer: Answer) -> float:
    """The time of a frame that the answer rests on, inside a span of its evidence; else the span's start."""
    return next((seconds for seconds in answer.timestamps if start <= seconds <= end), start)
