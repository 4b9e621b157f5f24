"""The facade: a loaded model that opens recordings and watches cameras."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from functools import cached_property, partial
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import torch

from llama_vid.bundle import Bundle, load_bundle
from llama_vid.camera_rules import AlertSink
from llama_vid.camera_speech import CameraSpeech, CaptionSink
from llama_vid.errors import ConfigError, ProtocolError, SourceError
from llama_vid.film import Film
from llama_vid.film_archive import FilmArchive
from llama_vid.film_speech import FilmSpeech
from llama_vid.hub import fetched
from llama_vid.intake import Intake
from llama_vid.leisure import Leisure
from llama_vid.llm.answer import Answer
from llama_vid.llm.captioner import captions
from llama_vid.llm.guided import GuidedResponder
from llama_vid.llm.placement import LoadOptions
from llama_vid.llm.questions import sanitize
from llama_vid.llm.responder import Responder
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.scoring import RuleScorer
from llama_vid.llm.rules.second_look import LanguageLook
from llama_vid.llm.rules.watcher import RuleWatcher
from llama_vid.llm.speech.whisper import SpeechModel
from llama_vid.llm.speech.words import Line
from llama_vid.model_thread import ModelThread, Priority
from llama_vid.published import PublishedBundle, load_published
from llama_vid.published_config import is_published
from llama_vid.recorder import BATCH, Recorder
from llama_vid.remote_answers import RemoteAnswers
from llama_vid.rule_trial import Trial, trying
from llama_vid.session import Session
from llama_vid.settings_captions import OFF, CaptionSettings
from llama_vid.stream.audio import AudioQueue
from llama_vid.stream.file import FileSource
from llama_vid.stream.frame import Frame
from llama_vid.stream.hardware import Decoder
from llama_vid.stream.masking import Corners, MaskedSource
from llama_vid.stream.opening import open_source
from llama_vid.stream.source import Source
from llama_vid.stream.view import View
from llama_vid.stream.whip import WhipIngest
from llama_vid.threads import beside_decoding
from llama_vid.token_route import TokenRoute
from llama_vid.tokenizer.sentences import SentenceEncoder

if TYPE_CHECKING:
    from llama_vid.full_tokens import FullTokens
    from llama_vid.llm.vllm_options import VllmOptions
    from llama_vid.memory.journal import CameraJournal, Journal

logger = logging.getLogger(__name__)

#: Called with the seconds taken in so far, and the duration where it is known.
Progress = Callable[[float, float | None], None]


class LLaMAVID:
    """A model bundle at work. `open` and `ask` run in the caller's thread; `watch` uses the model's own thread."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        context_tokens: int | None = None,
        zone: tzinfo | None = None,
        recent_minutes: float = 10.0,
        journal: Journal | None = None,
        remote: RemoteAnswers | None = None,
    ) -> None:
        self.bundle = bundle
        self.remote = remote
        self._zone = zone or datetime.now().astimezone().tzinfo or UTC
        self._recent_minutes = recent_minutes
        self._context_tokens = context_tokens
        self.responder: Responder = (
            GuidedResponder(
                bundle.language, bundle.scorer, bundle.calibration, name=bundle.name, frames=bundle.evidence_frames
            )
            if isinstance(bundle, PublishedBundle)
            else Responder(bundle.language, bundle.scorer, bundle.calibration, name=bundle.name, rarity=bundle.rarity)
        )
        self._journal = journal
        self._thread: ModelThread | None = None
        self._intake: Intake | None = None
        self._leisure: Leisure | None = None
        self._hearings: dict[tuple[str, str, int], SpeechModel] = {}
        self._hearing_lock = threading.Lock()
        self._sentences: SentenceEncoder | None = None

    @classmethod
    def from_pretrained(
        cls,
        name: str = "mini",
        *,
        device: str = "auto",
        dtype: str = "auto",
        context_tokens: int | None = None,
        zone: tzinfo | None = None,
        recent_minutes: float = 10.0,
        journal: Journal | None = None,
        scorer: str = "mini",
        vllm: VllmOptions | None = None,
        options: LoadOptions | None = None,
        remote: RemoteAnswers | None = None,
    ) -> Self:
        """Load a bundle, `mini` or a folder, or a published LLaMA-VID checkpoint: its folder or hub id, or the alias
        `jia-lab/llama-vid-7b`; beside a checkpoint the image-text part of the bundle `scorer` scores pictures.

        `context_tokens` lowers the memory's context window; `zone` is the time zone of live cameras' times in answers
        (default: this machine's); the last `recent_minutes` are never consolidated. With a `journal` the cameras that
        are watched remember over restarts; it stays the caller's to close. With `vllm` that server runs the bundle's
        language model, of which only the embedding table is loaded here. `options` are for big language models: smaller
        weights, several devices (default: what the environment says, `LoadOptions.of_environment`). A `remote` model
        puts into words what memory finds. Raises BundleError for anything missing or damaged, VllmError for a server
        that is there and serves something else.
        """
        options = options or LoadOptions.of_environment()
        place = fetched(name)
        if vllm is not None and is_published(Path(place)):
            raise ConfigError(
                "llm.engine: vllm runs the language model of a bundle; that of a published LLaMA-VID checkpoint runs "
                "here only: leave llm.engine out"
            )
        bundle = (
            load_published(
                Path(place),
                name=Path(name).name,
                device=device,
                dtype=dtype,
                scorer=scorer,
                context_tokens=context_tokens,
                options=options,
            )
            if is_published(Path(place))
            else load_bundle(
                place, device=device, dtype=dtype, vllm=vllm, context_tokens=context_tokens, options=options
            )
        )
        return cls(
            bundle,
            context_tokens=context_tokens,
            zone=zone,
            recent_minutes=recent_minutes,
            journal=journal,
            remote=remote,
        )

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.bundle.name

    @cached_property
    def full(self) -> FullTokens:
        """The baseline with every patch token, for evaluations. Raises BundleError if the bundle has none."""
        from llama_vid.full_tokens import FullTokens

        return FullTokens.load(self.bundle)

    def open(
        self,
        path: str | PathLike[str],
        *,
        progress: Progress | None = None,
        last_frame_only: bool = False,
        fps: float = 1.0,
        sound: bool = True,
        question: str | None = None,
    ) -> Film:
        """Take a whole recording into memory, `fps` frames a second of it.

        Its `sound` is recognised when a question is about what was said; a recording of speech alone has no pictures in
        memory. `last_frame_only` is a baseline: memory holds the last frame alone, and nothing is heard. A published
        checkpoint reads the frames with the `question` in mind that will be asked first, as it was trained; others take
        no notice of it. Raises SourceError if nothing in it decodes; damage that leaves something is a warning of the
        film.
        """
        began = time.perf_counter()
        source = open_source(fspath(path), fps=fps, live=False)
        if not isinstance(source, FileSource):
            raise SourceError(f"{path} is a live source; use watch(), or: llama-vid serve")
        load = partial(self._hearing, "mini", "en", 1)
        speech = FilmSpeech(fspath(path), load) if sound and not last_frame_only else None
        try:
            duration = source.duration
            film = self._taken(
                _batches(source, last_only=last_frame_only),
                None if duration is None else duration * fps,
                path=fspath(path),
                began=began,
                watched=lambda seconds: progress(seconds, duration) if progress is not None else None,
                speech=speech,
                guide=sanitize(question) if question and self.bundle.guided else None,
            )
        except SourceError:
            if speech is None or not speech.speaks:
                raise
            film = self._taken((), 0, path=fspath(path), began=began, speech=speech)
            film.warnings.append(f"{fspath(path)} has no pictures that can be read: only what is said in it is known")
        film.warnings.extend(source.warnings)
        return film

    def take(self, frames: Sequence[Frame], *, name: str = "pictures") -> Film:
        """A film of pictures at hand, in time order, as `open` makes one of a file. Raises SourceError if there are
        none.
        """
        if not frames:
            raise SourceError(f"{name} holds no picture; give one at least")
        batches = _batches(frames, last_only=False)
        return self._taken(batches, len(frames), path=name, began=time.perf_counter())

    def _taken(
        self,
        batches: Iterable[list[Frame]],
        count: float | None,
        *,
        path: str,
        began: float,
        watched: Callable[[float], None] = lambda _seconds: None,
        speech: FilmSpeech | None = None,
        guide: str | None = None,
    ) -> Film:
        """Batches of about `count` frames, taken into a film's memory; `watched` hears how far it has come."""
        archive = self._archive(count)
        recorder = self._recorder(guide, archive.film if archive is not None else None)
        try:
            with beside_decoding():
                for frames in batches:
                    recorder.add(frames)
                    if archive is not None:
                        archive.follow(len(frames))
                    watched(frames[-1].seconds)
        except BaseException:
            if archive is not None:
                archive.close()
            raise
        if archive is not None:
            archive.settle()
        ingest_s = round(time.perf_counter() - began, 4)
        return Film(
            recorder, self.responder, path=path, ingest_s=ingest_s, warnings=[], archive=archive,
            speech=speech, encode=self._encode, remote=self.remote,
        )  # fmt: skip

    def ask(self, path: str | PathLike[str], question: str) -> Answer:
        """Open a recording and answer one question about all of it."""
        return self.open(path, question=question).ask(question)

    def watch(
        self,
        source: str | Source,
        *,
        name: str = "camera",
        fps: float = 1.0,
        watch_for: str | None = None,
        rules: Sequence[Rule] = (),
        on_alert: AlertSink = lambda _change: None,
        captions: CaptionSettings = OFF,
        on_caption: CaptionSink = lambda _event: None,
        masks: Sequence[Corners] = (),
        view: View | None = None,
        decoder: Decoder = "auto",
    ) -> Session:
        """A live camera, by address or as a source; use it with `async with`.

        `watch_for` is a standing instruction for the compressor. What the alert `rules` find goes to `on_alert`, in the
        event loop's thread, at once; so does what is said to `on_caption`, where `captions` are wanted and the
        source is an address or a WHIP ingest. What lies under the `masks` is black before anything sees it. `view` is
        what WHEP viewers are shown of an address, `decoder` what decodes it (`stream/hardware.py`).
        """
        queue = AudioQueue() if captions and isinstance(source, str | WhipIngest) else None
        if queue is not None and isinstance(source, WhipIngest):
            source.hear(queue)
        shown = None if masks else view
        opened = (
            open_source(source, fps=fps, live=True, audio=queue, view=shown, decoder=decoder)
            if isinstance(source, str)
            else source
        )
        if masks:
            opened = MaskedSource(opened, masks, view)

        def listen(keep: Callable[[Line], None]) -> CameraSpeech:
            assert queue is not None
            load = partial(self._hearing, captions.model, captions.language or "", captions.threads)
            return CameraSpeech(load, queue, hotwords=captions.hotwords, name=name, sink=on_caption, keep=keep)

        thread, intake, leisure = self._at_work()
        recorder = self._recorder(watch_for, self._journal.camera(name) if self._journal is not None else None)
        watcher = RuleWatcher(
            name,
            rules,
            RuleScorer(self.bundle.scorer, self.bundle.tower),
            LanguageLook(self.responder.find),
            zone=self._zone,
        )
        return Session(
            opened, recorder, self.responder, thread, intake, leisure,
            name=name, zone=self._zone, watcher=watcher, on_alert=on_alert, listen=listen if queue else None,
            encode=self._encode, remote=self.remote,
        )  # fmt: skip

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens of the language model each text has; counted in the model's thread."""
        tokenize = self.bundle.language.tokenize
        return await self._at_work()[0].run(Priority.QUESTION, lambda: [len(tokenize(text)) for text in texts])

    async def try_rules(self, camera: str, rules: Sequence[Rule], start: float, end: float) -> Trial:
        """What alert rules would have raised over what the journal holds of a camera between two times.

        Raises ProtocolError with code nothing_to_try_on without a journal, ConfigError for a name that no camera can
        have.
        """
        if self._journal is None:
            raise ProtocolError(
                "Rules are tried on what is kept on disk, and this server keeps nothing; set memory.path and start it "
                "again.",
                code="nothing_to_try_on",
            )
        thread, _, _ = self._at_work()
        found: list[Trial] = []

        def steps(journal: CameraJournal) -> Iterator[None]:
            scorer = RuleScorer(self.bundle.scorer, self.bundle.tower)
            found.append((yield from trying(journal, rules, scorer, self.bundle.tower, start, end, self._zone)))

        work = thread.iterate(Priority.REBUILD, steps(self._journal.camera(camera)))
        async with contextlib.aclosing(work) as items:
            async for _ in items:
                pass
        return found[0]

    def _at_work(self) -> tuple[ModelThread, Intake, Leisure]:
        """The model's thread and what all cameras share in it, begun when they are first wanted."""
        if self._thread is None or self._intake is None or self._leisure is None:
            self._thread = ModelThread()
            self._intake, self._leisure = Intake(self.bundle.tower, self._thread), Leisure(self._thread)
        return self._thread, self._intake, self._leisure

    def _hearing(self, model: str, language: str, threads: int) -> SpeechModel:
        """The speech model, one for all cameras that want the same; called in the captions' threads."""
        with self._hearing_lock:
            found = self._hearings.get((model, language, threads))
            if found is None:
                found = SpeechModel.load(model, language=language or None, threads=threads)
                self._hearings[model, language, threads] = found
            return found

    def _encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Sentences as unit-length vectors (N, D); what compares them is loaded when it is first wanted."""
        if self._sentences is None:
            self._sentences = SentenceEncoder.load()
        return self._sentences.encode(texts)

    def close(self) -> None:
        """End the model's thread; sessions must be closed before. What is loaded goes with the object."""
        if self._thread is not None:
            self._thread.close()
            self._thread = None
        if self.remote is not None:
            self.remote.close()
        self.bundle.language.close()

    def _archive(self, frames: float | None) -> FilmArchive | None:
        """Where a film that memory cannot hold frame by frame keeps its detail; None for one that it can."""
        held = self.bundle.budget(self._context_tokens).pairs
        return FilmArchive() if frames is None or frames > held else None

    def _recorder(self, watch_for: str | None = None, journal: CameraJournal | None = None) -> Recorder:
        return Recorder(
            self.bundle,
            context_tokens=self._context_tokens,
            watch_for=watch_for,
            recent_minutes=self._recent_minutes,
            journal=journal,
        )

    def caption_photos(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[str]:
        """One sentence for each RGB picture (H, W, 3), from its two tokens alone."""
        out: list[str] = []
        for at in range(0, len(images), BATCH):
            with torch.inference_mode():
                encoded = self.bundle.tower.encode(images[at : at + BATCH])
                _, pairs = self.bundle.compressor.run(
                    self.bundle.compressor.begin(), encoded, gaps=[True] * len(encoded.patches)
                )
            out.extend(captions(self.bundle.language, pairs, rarity=self.bundle.rarity))
        return out

    @cached_property
    def tokens(self) -> TokenRoute:
        """Questions put to the two tokens of a frame and the language model alone."""
        return TokenRoute(self)


def _batches(source: Iterable[Frame], *, last_only: bool) -> Iterator[list[Frame]]:
    """The frames of a recording, BATCH at a time; or its last one alone."""
    batch: list[Frame] = []
    for frame in source:
        batch = [frame] if last_only else [*batch, frame]
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
