"""Answers of `llm.engine: openai`: what memory finds is read by a remote model, and by the local one where that fails.

    gathered (model's thread) ──> pictures ──> read by the remote model (event loop) ──> pieces, then the whole answer
                              └── computed parts are said at once                     └── fails: the local model answers

The model's thread is held for gathering alone, in short steps. An answer says by whom it was put into words (`engine`),
and why not by the remote model (`note`); where words of both stand in one text, the text says where the first ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path
from typing import Final

from llama_vid.llm.answer import Answer, AnswerPiece, Evidence
from llama_vid.llm.citing import cited, uncited
from llama_vid.llm.findings import Events, Findings, Note, Told
from llama_vid.llm.gathering import Gatherer
from llama_vid.llm.remote_errors import RemoteFailure
from llama_vid.llm.remote_options import RemoteOptions
from llama_vid.llm.remote_prompt import Picture, RemotePrompt, small_picture
from llama_vid.llm.remote_reader import RemoteCounts, RemoteReader
from llama_vid.llm.responder import Responder
from llama_vid.llm.spending import Spending
from llama_vid.llm.words import clock

logger = logging.getLogger(__name__)

#: Spans of evidence beside an answer that names no time, and beside one that names many.
SHOWN: Final = 3
CITED: Final = 12
#: Seconds by which the kept picture may lie beside the moment that is to be shown: of what stands still one is kept
#: each minute.
NEAR_S: Final = 90.0
#: Earlier turns of a conversation that are sent along, and conversations whose turns are kept.
TURNS: Final = 3
CONVERSATIONS: Final = 256

Turn = tuple[str, str]
#: The kept picture nearest to a time, as its own time and JPEG.
Kept = Callable[[float], tuple[float, bytes] | None]


@dataclass(frozen=True, slots=True)
class Asking:
    """One question: how a responder is asked it, where its pieces are computed, and what else is known.

    `respond` puts the question to a responder; `run` computes the pieces one by one where that may be done.
    """

    respond: Callable[[Responder], Iterator[AnswerPiece]]
    run: Callable[[Iterator[AnswerPiece]], AsyncGenerator[AnswerPiece, None]]
    local: Responder
    kept: Kept
    camera: str | None = None  # None: a recording
    zone: tzinfo | None = None
    told: Told | None = None
    events: Events | None = None
    earlier: tuple[Turn, ...] = ()


class RemoteAnswers:
    """One remote model at work for everything that is asked. `folder`, where there is one, keeps what was spent."""

    def __init__(
        self, options: RemoteOptions, folder: Path | None = None, *, reader: RemoteReader | None = None
    ) -> None:
        if folder is not None and not folder.is_dir():
            folder = None
        self.options = options
        self._spending = Spending(options.requests_per_hour, options.images_per_hour, folder)
        self.reader = reader or RemoteReader(options, self._spending)

    @property
    def counts(self) -> RemoteCounts:
        """What was sent and what came of it."""
        return self.reader.counts

    def close(self) -> None:
        """Let go of the file that counts what was spent."""
        self._spending.close()

    async def answer(self, asking: Asking) -> AsyncGenerator[AnswerPiece, None]:
        """The answer in pieces, the last one with the whole. Closing it cancels, here and there.

        Raises RemoteFailure where the remote model fails and no fall-back is wanted, QuestionError as ever.
        """
        if asking.camera is not None and self.options.cameras is not None and asking.camera not in self.options.cameras:
            async for piece in self._local(asking, "this camera is not among llm.openai.cameras"):
                yield piece
            return
        gatherer = Gatherer(asking.local, self.options.max_images, told=asking.told, events=asking.events)
        ours = Answer("")
        async with contextlib.aclosing(asking.run(asking.respond(gatherer))) as pieces:
            async for piece in pieces:
                if piece.answer is None:
                    yield piece
                ours = piece.answer or ours
        found = gatherer.findings
        if found is None:  # all was said: nothing has been seen yet, or the time asked about was not watched
            yield AnswerPiece("", ours)
            return
        pictures = await asyncio.to_thread(self._pictures, found, asking) if self.reader.sees else ()
        yield AnswerPiece("")  # whoever must not send this any more, as it was forgotten meanwhile, ends here
        prompt = RemotePrompt(found, pictures, self.options, ours.answer, asking.earlier)
        said: list[str] = []
        try:
            async with contextlib.aclosing(self.reader.read(prompt)) as texts:
                async for text in texts:
                    if not said and ours.answer:
                        text = f" {text.lstrip()}"
                    said.append(text)
                    yield AnswerPiece(text)
        except RemoteFailure as problem:
            async for piece in self._without(problem, asking, found, ours, "".join(said)):
                yield piece
            return
        yield AnswerPiece("", self._whole(asking, found, ours, "".join(said)))

    def _whole(self, asking: Asking, found: Findings, ours: Answer, said: str) -> Answer:
        """The remote model's words with our evidence: the spans whose times it names, else the best that were shown."""
        now = max((item.end for item in found.offered), default=0.0)
        shown = cited(said, found.offered, asking.zone, now)[:CITED]
        if wrong := uncited(said, [*found.offered, *ours.evidence], asking.zone, now):
            logger.info("The remote model named %s times that it was not given; they count as no evidence", len(wrong))
        evidence = [*ours.evidence, *(item for item in shown if not _known(item, ours.evidence))]
        if not evidence:
            best = found.offered[: len(found.stills)] or [_of(note) for note in found.said if note.near]
            evidence = sorted(best, key=lambda item: -item.score)[:SHOWN]
        evidence.sort(key=lambda item: item.start)
        return replace(
            ours,
            answer=f"{ours.answer}{said}".strip(),
            timestamps=[item.start for item in evidence],
            evidence=evidence,
            model=self.options.model,
            engine="openai",
        )

    async def _without(
        self, problem: RemoteFailure, asking: Asking, found: Findings, ours: Answer, said: str
    ) -> AsyncGenerator[AnswerPiece, None]:
        """What is answered where the remote model failed: the computed part alone, or the local model's answer."""
        if not self.options.fallback:
            raise problem
        self.counts.fallbacks[problem.kind] += 1
        if problem.kind not in ("spent", "resting"):  # those were said once already
            logger.warning("%s. The local model answers", problem)
        if ours.answer and not said:
            yield AnswerPiece("", replace(ours, note=str(problem)))
            return
        if said:
            mark = "\n\n[The remote model broke off here. The local model answers:] "
            if ours.answer:  # what is computed was said first and is whole
                mark = "\n\n[The remote model broke off here.]"
            yield AnswerPiece(mark)
            said += mark
            if ours.answer:
                whole = self._whole(asking, found, ours, said)
                yield AnswerPiece("", replace(whole, note=str(problem)))
                return
        async for piece in self._local(asking, str(problem), said):
            yield piece

    async def _local(self, asking: Asking, note: str, before: str = "") -> AsyncGenerator[AnswerPiece, None]:
        """The local model's answer, behind what was said `before` it."""
        async with contextlib.aclosing(asking.run(asking.respond(asking.local))) as pieces:
            async for piece in pieces:
                if piece.answer is None:
                    yield piece
                    continue
                engine = "openai, then local" if before else "local"
                whole = replace(piece.answer, answer=f"{before}{piece.answer.answer}".strip(), note=note, engine=engine)
                yield AnswerPiece(piece.delta, whole)

    def _pictures(self, found: Findings, asking: Asking) -> tuple[Picture, ...]:
        """The frames to look at, small enough to send; those of which no picture is kept are left out."""
        pictures: dict[float, Picture] = {}
        for still in found.stills:
            kept = asking.kept(still.start)
            if kept is None or abs(kept[0] - still.start) > NEAR_S + still.end - still.start or kept[0] in pictures:
                continue
            near = still.start - 1 <= kept[0] <= still.end
            now = max(item.end for item in found.offered)
            when = still.when if near else clock(kept[0], asking.zone, now=now)
            try:
                pictures[kept[0]] = Picture(when, small_picture(kept[1], self.options.image_side))
            except OSError:
                logger.warning("A kept picture cannot be read and is not sent")
        return tuple(pictures.values())


def _of(note: Note) -> Evidence:
    return Evidence(note.start, note.end, 1.0, f"“{note.text}”")


def _known(item: Evidence, others: Sequence[Evidence]) -> bool:
    return any(other.start <= item.start and item.end <= other.end for other in others)


class Conversations:
    """The last turns of each conversation about one camera, for follow-ups."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, deque[Turn]] = OrderedDict()

    def before(self, conversation: str | None, earlier: Sequence[str]) -> tuple[Turn, ...]:
        """The turns before a question, oldest first; of what the caller kept himself only the questions are known."""
        known = self._turns.get(conversation) if conversation else None
        return tuple(known) if known else tuple((question, "") for question in earlier[-TURNS:])

    def note(self, conversation: str | None, question: str, answer: str) -> None:
        """One more turn."""
        if not conversation:
            return
        self._turns.setdefault(conversation, deque(maxlen=TURNS)).append((question, answer))
        self._turns.move_to_end(conversation)
        while len(self._turns) > CONVERSATIONS:
            self._turns.popitem(last=False)

    def forget(self) -> None:
        """Answers may tell of what is to be forgotten."""
        self._turns.clear()
