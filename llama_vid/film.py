"""A video taken in once and asked many times."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING

from torch import Tensor

from llama_vid.llm.answer import Answer, AnswerPiece, MemoryUse, Moment, Span, TokenUse
from llama_vid.llm.beside import HEARD_TOKENS
from llama_vid.llm.described import ANSWER_TOKENS
from llama_vid.llm.questions import sort_question
from llama_vid.llm.reading_memory import context_of
from llama_vid.llm.recall import Archive
from llama_vid.llm.responder import Responder
from llama_vid.llm.search import search
from llama_vid.llm.speech.chapters import Chapter
from llama_vid.llm.spoken import picture_cuts
from llama_vid.llm.spoken_questions import about_speech
from llama_vid.llm.steps import finished
from llama_vid.llm.transcript import Encode, Heard
from llama_vid.memory.entry import MemoryEntry
from llama_vid.recorder import Recorder
from llama_vid.remote_answers import Asking, RemoteAnswers
from llama_vid.tokenizer.pair import TokenPair
from llama_vid.tokenizer.regions import region_embeddings
from llama_vid.unrolling import stepped, unrolled

if TYPE_CHECKING:
    from llama_vid.film_archive import FilmArchive
    from llama_vid.film_speech import FilmSpeech


class Watching:
    """A recorder's memory as the responder sees it, with the KV cache that mirrors it."""

    def __init__(self, recorder: Recorder, zone: tzinfo | None = None, *, heard: Heard | None = None) -> None:
        self.recorder = recorder
        self.heard = heard
        self.zone = zone
        budget = recorder.bank.budget
        # Answers are far shorter than their share of the context: what they leave is room for new frames behind an old
        # layout while the new one is being read.
        self.context = context_of(
            recorder.bundle.language,
            zone=zone,
            marks=budget.mark_count,
            reserve=budget.prompt + budget.evidence + HEARD_TOKENS + ANSWER_TOKENS,
        )

    @property
    def entries(self) -> tuple[MemoryEntry, ...]:
        """Memory in time order."""
        return self.recorder.bank.entries

    @property
    def frames(self) -> int:
        """Frames ever watched."""
        return self.recorder.bank.frames

    @property
    def tokens(self) -> TokenUse:
        """Frames watched and the tokens that stand for them."""
        return TokenUse(self.frames, self.recorder.bank.tokens)

    @property
    def memory(self) -> MemoryUse:
        """What memory and the KV cache hold."""
        bank = self.recorder.bank
        room = bank.budget.frames_tokens
        return MemoryUse(len(bank), bank.tokens, self.context.cached_bytes, self.recorder.restored, room)

    @property
    def archive(self) -> Archive | None:
        """The journal that holds in detail what memory has consolidated."""
        return self.recorder.journal

    @property
    def guide(self) -> str | None:
        """The text with which in mind frames are read as they come."""
        return self.recorder.watch_for

    def reread(self, seconds: Sequence[float], guide_text: str) -> list[TokenPair]:
        """Frames read again under a guide."""
        return self.recorder.reread(seconds, guide_text)

    def regions(self, seconds: Sequence[float]) -> Tensor | None:
        """Embeddings (n, R, E) of the regions of frames; None where no picture is kept or the tower gives none."""
        patches = self.recorder.patches(seconds)
        return None if patches is None else region_embeddings(self.recorder.bundle.tower, patches)

    def people(self, seconds: Sequence[float]) -> Tensor | None:
        """The log odds (n,) of people in frames; None where no picture is kept or the bundle knows no people."""
        probe = self.recorder.bundle.tower.people
        patches = self.recorder.patches(seconds) if probe is not None else None
        return None if probe is None or patches is None else probe.odds(patches).cpu()

    def classes(self, seconds: Sequence[float]) -> dict[str, float]:
        """The mean chances, by name, of what the tower's own classifier sees in frames; {} where there is none."""
        known = self.recorder.bundle.tower.classes
        patches = self.recorder.patches(seconds) if known is not None else None
        return {} if known is None or patches is None else known.told(patches)


class Film:
    """A recording in memory. Made by `LLaMAVID.open`; not thread-safe. `warnings` says what was wrong with the file."""

    def __init__(
        self,
        recorder: Recorder,
        responder: Responder,
        *,
        path: str,
        ingest_s: float,
        warnings: list[str],
        archive: FilmArchive | None = None,
        speech: FilmSpeech | None = None,
        encode: Encode | None = None,
        remote: RemoteAnswers | None = None,
    ) -> None:
        """`speech` is its sound, where it has any, and `encode` compares what was said."""
        self.path = path
        self.warnings = warnings
        self._speech = speech
        heard = Heard(speech, encode) if speech is not None and encode is not None else None
        self._watching = Watching(recorder, heard=heard)
        self._responder, self._remote = responder, remote
        self._ingest_s = ingest_s
        if archive is not None:
            weakref.finalize(self, archive.close)

    @property
    def duration(self) -> float:
        """Seconds from the film's start to the end of its last frame."""
        return self._watching.recorder.end

    @property
    def entries(self) -> tuple[MemoryEntry, ...]:
        """Memory in time order."""
        return self._watching.entries

    def ask(self, question: str) -> Answer:
        """The whole answer. Raises QuestionError for an empty or too long question."""
        answer = None
        for piece in self.stream(question):
            answer = piece.answer or answer
        assert answer is not None  # the responder's last piece carries it
        return answer

    def stream(self, question: str, *, cancel: Callable[[], bool] = lambda: False) -> Iterator[AnswerPiece]:
        """The answer in pieces, the last one with the whole."""

        def respond(responder: Responder) -> Iterator[AnswerPiece]:
            return responder.respond(question, self._watching, ingest_s=self._ingest_s, cancel=cancel)

        if self._remote is None:
            return respond(self._responder)
        return unrolled(self._remote.answer(Asking(respond, stepped, self._responder, self._watching.recorder.kept)))

    def search(self, text: str, limit: int = 10) -> list[Moment]:
        """The moments that match a text, best first."""
        return search(self._responder.find, self._watching.entries, text, limit, self._said(text, limit))

    def _said(self, text: str, limit: int) -> list[Moment]:
        """The moments in which a text was spoken of; of a film that is no talk and was not listened to, none."""
        heard = self._watching.heard
        if heard is None:
            return []
        for _ in heard.listening(asked=False):
            pass
        return finished(heard.moments(text, float("-inf"), float("inf"), limit))

    def listen(self, progress: Callable[[float, float | None], None] | None = None) -> None:
        """Recognise what is said, if that was not done yet; a question about it does the same. Raises BundleError where
        the speech model is not installed. `progress` hears the seconds done, and the duration where it is known.
        """
        if self._speech is not None:
            for seconds in self._speech.recognising():
                if progress is not None:
                    progress(seconds, self._speech.duration)
            self.warnings.extend(text for text in self._speech.warnings if text not in self.warnings)

    def needs_listening(self, question: str) -> bool:
        """Whether a question is about what was said, and the film was not listened to yet."""
        fresh = self._speech is not None and not self._speech.heard
        return fresh and about_speech(sort_question(question)) is not None

    def chapters(self) -> list[Chapter]:
        """What is spoken of, in order; nothing where nothing is said."""
        heard = self._watching.heard
        if heard is None:
            return []
        self.listen()
        return finished(heard.chapters(float("-inf"), float("inf"), picture_cuts(self.entries)))

    def timeline(self) -> list[Span]:
        """What happens when: consecutive spans with captions and mean motion energy."""
        return self._responder.timeline(self._watching.entries)

    def regions(self, seconds: Sequence[float]) -> Tensor | None:
        """Embeddings (n, R, E) of the regions of the pictures nearest to these times, where the tower gives them."""
        return self._watching.regions(seconds)

    def frame(self, seconds: float) -> bytes | None:
        """The kept picture nearest to a time, as JPEG."""
        return self._watching.recorder.jpeg(seconds)

    @property
    def tokens(self) -> TokenUse:
        """Frames watched and the tokens that stand for them."""
        return self._watching.tokens
