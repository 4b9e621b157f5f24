"""The language model's host: an actor that mirrors cameras' memories and answers questions about them.

It alone loads the language model, and keeps a KV cache for each camera as one process does. It owns nothing: when it
dies, Ray starts it again, and the workers send it what they remember.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, tzinfo
from typing import Any, Final

import torch
from torch import Tensor

from llama_vid.cluster_calls import UnreachableError, journal_call
from llama_vid.cluster_journal import DistantJournal
from llama_vid.cluster_mirror import IdleSource, MirrorRecorder, MirrorSession
from llama_vid.cluster_parts import Parts
from llama_vid.cluster_tower import TowerClient
from llama_vid.cluster_wire import Steps, Unpacker
from llama_vid.errors import LlamaVidError
from llama_vid.intake import Intake
from llama_vid.leisure import Leisure
from llama_vid.llm.answer import AnswerPiece, MemoryUse, Moment, Span
from llama_vid.llm.responder import Responder
from llama_vid.llm.rules.album import Album, Shown
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.second_look import LanguageLook
from llama_vid.llm.speech.chapters import Chapter
from llama_vid.llm.speech.words import Line
from llama_vid.memory.budget import Budget
from llama_vid.model_thread import ModelThread, Priority
from llama_vid.tokenizer.sentences import SentenceEncoder

#: How long a question waits for what its camera's worker is known to remember already; it is on its way.
CATCH_UP_S: Final = 2.0
#: What `append` gives where the mirror must be told all.
MISSED: Final = -1


class _Mirror:
    """One camera's session, who feeds it, and how many steps it has had."""

    def __init__(self, session: MirrorSession, epoch: int) -> None:
        self.session, self.epoch, self.count = session, epoch, 0
        self.unpacker = Unpacker()
        self.worker: Any = None


class Reader:
    """The actor."""

    def __init__(
        self,
        parts: Parts,
        *,
        zone: tzinfo | None,
        context_tokens: int | None,
        recent_minutes: float,
        threads: int,
    ) -> None:
        torch.set_num_threads(threads)
        self._tower = TowerClient()
        self._bundle = bundle = parts.whole(self._tower.encode_now)
        self._responder = Responder(
            bundle.language, bundle.scorer, bundle.calibration, name=bundle.name, rarity=bundle.rarity
        )
        self._zone, self._context_tokens, self._recent_minutes = zone or UTC, context_tokens, recent_minutes
        self._thread = ModelThread()
        self._leisure = Leisure(self._thread)
        self._intake = Intake(bundle.tower, self._thread)
        self._mirrors: dict[str, _Mirror] = {}
        self._sentences: SentenceEncoder | None = None
        self._told = asyncio.Condition()

    async def budget(self) -> Budget:
        """How much memory a camera may have here."""
        return self._bundle.budget(self._context_tokens)

    async def name(self) -> str:
        """The model's name."""
        return self._bundle.name

    async def pid(self) -> int:
        """The process."""
        return os.getpid()

    async def begin(
        self, camera: str, epoch: int, worker: Any, steps: Steps, restored: str, watch_for: str | None
    ) -> int:
        """A worker that owns a camera under `epoch` tells all that it remembers; gives 0, the steps since."""
        mirror = self._mirrors.get(camera)
        if mirror is not None and mirror.epoch > epoch:
            raise LlamaVidError(f"camera {camera} has another worker by now")
        if mirror is not None and mirror.session.mirror.watch_for != watch_for:
            await self.drop(camera)
            mirror = None
        if mirror is None:
            session = await self._opened(camera, watch_for)
            mirror = self._mirrors[camera] = _Mirror(session, epoch)
        mirror.epoch, mirror.worker, mirror.unpacker = epoch, worker, Unpacker()
        await mirror.session.hold(mirror.unpacker.unpack(steps), restored)
        mirror.count = 0
        await self._tell()
        return 0

    async def append(self, camera: str, epoch: int, at: int, steps: Steps) -> int:
        """What happened since; gives how many steps there were since `begin`, or MISSED: it must be told all."""
        mirror = self._mirrors.get(camera)
        if mirror is None or mirror.epoch != epoch or mirror.count != at:
            return MISSED
        await mirror.session.take_steps(mirror.unpacker.unpack(steps))
        mirror.count += len(steps.rows)
        await self._tell()
        return mirror.count

    async def hear(self, camera: str, line: Line) -> None:
        """A finished line of what is said in front of a camera."""
        if camera in self._mirrors:
            self._mirrors[camera].session.hear(line)

    async def drop(self, camera: str) -> None:
        """A camera is gone for good."""
        mirror = self._mirrors.pop(camera, None)
        if mirror is not None:
            await mirror.session.__aexit__(None, None, None)

    async def ask(
        self, camera: str, question: str, conversation: str | None, earlier: Sequence[str], seen: float
    ) -> AsyncIterator[AnswerPiece]:
        """The answer in pieces, as a session's. It rests on what the worker had remembered up to `seen`, and later."""
        session = await self._caught_up(camera, seen)
        async with contextlib.aclosing(
            session.ask(question, conversation=conversation, earlier=earlier)  # type: ignore[type-var]
        ) as pieces:
            async for piece in pieces:
                yield piece

    async def search(
        self, camera: str, seen: float, text: str, start: float | None, end: float | None, limit: int
    ) -> list[Moment]:
        """As a session's."""
        return await (await self._caught_up(camera, seen)).search(text, start, end, limit)

    async def timeline(self, camera: str, seen: float, start: float | None, end: float | None) -> list[Span]:
        """As a session's."""
        return await (await self._caught_up(camera, seen)).timeline(start, end)

    async def chapters(self, camera: str, start: float | None, end: float | None) -> list[Chapter]:
        """As a session's."""
        return await self._session(camera).chapters(start, end)

    async def forget(self, camera: str, start: float, end: float) -> None:
        """Let go of [start, end); what the worker has left of it comes by `begin`."""

        async def erased() -> None:
            return None

        if camera in self._mirrors:
            await self._session(camera).forget(start, end, erased)

    async def memory(self, camera: str) -> tuple[MemoryUse, int]:
        """What memory and KV cache hold, and the frames ever watched."""
        session = self._session(camera)
        return session.memory, session.tokens.frames

    async def look(self, rule: Rule, frames: Sequence[Shown]) -> tuple[float, str]:
        """A second look at an event's best frames."""
        album = Album()
        for shown in frames:
            album.add(shown.seen, shown.probability)
        found: list[tuple[float, str]] = []

        def steps() -> Any:
            found.append((yield from LanguageLook(self._responder.find).looking(rule, album)))

        async with contextlib.aclosing(self._thread.iterate(Priority.REBUILD, steps())) as items:
            async for _ in items:
                pass
        return found[0]

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens of the language model each text has."""
        tokenize = self._bundle.language.tokenize
        return await self._thread.run(Priority.QUESTION, lambda: [len(tokenize(text)) for text in texts])

    def _session(self, camera: str) -> MirrorSession:
        mirror = self._mirrors.get(camera)
        if mirror is None:
            raise UnreachableError(f"nothing is known of camera {camera} yet; ask again in some seconds")
        return mirror.session

    async def _caught_up(self, camera: str, seen: float) -> MirrorSession:
        """The session, once its memory reaches up to `seen` or CATCH_UP_S are over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_S), self._told:
                await self._told.wait_for(
                    lambda: camera in self._mirrors and self._mirrors[camera].session.mirror.end >= seen
                )
        return self._session(camera)

    async def _tell(self) -> None:
        async with self._told:
            self._told.notify_all()

    async def _opened(self, camera: str, watch_for: str | None) -> MirrorSession:
        def ask(method: str, *arguments: Any) -> Any:
            mirror = self._mirrors.get(camera)
            return journal_call(mirror.worker if mirror is not None else None, camera)(method, *arguments)

        recorder = MirrorRecorder(
            self._bundle, context_tokens=self._context_tokens, recent_minutes=self._recent_minutes, watch_for=watch_for,
            journal=DistantJournal(camera, ask),
        )  # fmt: skip
        session = MirrorSession(
            IdleSource(), recorder, self._responder, self._thread, self._intake, self._leisure, name=camera,
            zone=self._zone, encode=self._encode, captioned=True,
        )  # fmt: skip
        await session.__aenter__()
        return session

    def _encode(self, texts: Sequence[str]) -> Tensor:
        if self._sentences is None:
            self._sentences = SentenceEncoder.load()
        return self._sentences.encode(texts)
