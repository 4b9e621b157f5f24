"""Ours and `full` as systems beside others: the whole program or its two tokens, and all patch tokens of a frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.suite import program_state
from evaluation.systems_options import SystemsOptions
from evaluation.systems_run import Heard, Seen
from evaluation.yesno import decided
from llama_vid.bundle import find_bundle, fingerprint
from llama_vid.errors import BundleError
from llama_vid.full_tokens import FRAMES, FullTokens
from llama_vid.llm.evidence import READ
from llama_vid.model import LLaMAVID
from llama_vid.token_route import TokenRoute

if TYPE_CHECKING:
    from llama_vid.bundle import Bundle
    from llama_vid.film import Film
    from llama_vid.llm.responder import Responder


class OneFilm:
    """A model's `open` that keeps the film opened last: what the token route opens is what was taken in."""

    def __init__(self, model: LLaMAVID) -> None:
        self._model = model
        self._kept: tuple[str, bool, Film] | None = None

    @property
    def bundle(self) -> Bundle:
        """The model's bundle."""
        return self._model.bundle

    @property
    def responder(self) -> Responder:
        """The model's responder."""
        return self._model.responder

    def open(self, path: str, /, *, last_frame_only: bool = False) -> Film:
        """The film, without its sound. Raises SourceError."""
        if self._kept is None or self._kept[:2] != (path, last_frame_only):
            self._kept = None  # the old one's memory is free before the new one takes its own
            self._kept = (path, last_frame_only, self._model.open(path, last_frame_only=last_frame_only, sound=False))
        return self._kept[2]


class Ours:
    """The program: by route `all` as a user asks it, by route `tokens` the two tokens and the language model alone."""

    def __init__(self, model: LLaMAVID, *, route: str = "all", of: str = "") -> None:
        """`of` names the weights, for what is kept of an earlier run."""
        self._films = OneFilm(model)
        self._tokens = TokenRoute(self._films)
        self._route, self._path = route, ""
        self.identity = f"ours {of or model.name} route {route} on {model.bundle.language.device}, {program_state()}"
        self.label = f"LLaMA-VID Live, bundle {of or model.name}"
        self.notes = (
            "1 frame a second, all of them; route all: memory, image-text score and evidence frames"
            if route == "all"
            else f"1 frame a second, up to {READ} of them, evenly spread; route tokens: their two tokens alone"
        )

    def take(self, clip: Path) -> None:
        """Take the clip into memory. Raises SourceError."""
        self._path = str(clip)
        if self._route == "tokens":
            self._tokens.pairs(self._path)
        else:
            self._films.open(self._path)

    def answer(self, asked: str, question: str) -> Heard:
        """Yes or no by the answer's first word (route tokens: by p(yes)), or the whole answer."""
        if self._route == "tokens":
            if asked == "yesno":
                return by_probability(self._tokens.yesno(self._path, [question])[0])
            return Heard(self._tokens.ask(self._path, [question])[0])
        film = self._films.open(self._path)
        return Heard(decided(film, question).text if asked == "yesno" else film.ask(question).answer)

    def blind(self, asked: str, question: str) -> Heard:
        """What the language model says without any video."""
        if asked == "yesno":
            return by_probability(self._tokens.yesno_blind([question])[0])
        return Heard(self._tokens.ask_blind([question])[0])

    def seen(self) -> Seen:
        """Frames watched, and the tokens that stand for them in memory (frames of a still scene share theirs)."""
        if self._route == "tokens":
            pairs = len(self._tokens.pairs(self._path))
            return Seen(pairs, 2 * pairs)
        used = self._films.open(self._path).tokens
        return Seen(used.frames, used.video)


class Full:
    """The baseline of our own: every patch token of up to eight frames, our tower, language model and recipe."""

    def __init__(self, full: FullTokens, *, of: str) -> None:
        self._full, self._path, self._seen = full, "", Seen(0, 0)
        self.identity = f"full {of}, {program_state()}"
        self.label = f"all {full.per_frame} patch tokens of a frame, bundle {of}"
        self.notes = f"up to {FRAMES} frames, evenly spread; yes or no by p(yes)"

    def take(self, clip: Path) -> None:
        """Read the clip's tokens. Raises SourceError."""
        self._path = str(clip)
        self._seen = Seen(*self._full.take(self._path))

    def answer(self, asked: str, question: str) -> Heard:
        """Yes or no by p(yes), or a free answer."""
        if asked == "yesno":
            return by_probability(self._full.yesno(self._path, [question])[0])
        return Heard(self._full.ask(self._path, [question])[0])

    def blind(self, asked: str, question: str) -> None:
        """Not asked: its language model without video is the one of ours."""
        return

    def seen(self) -> Seen:
        """The frames that were read, and all their tokens."""
        return self._seen


def by_probability(probability: float) -> Heard:
    """An answer by p(yes): yes from one half on."""
    return Heard("Yes" if probability >= 0.5 else "No", probability)


def load_ours(options: SystemsOptions, name: str) -> Ours | Full:
    """`ours` or `full` of the options' model. Raises BundleError."""
    model: Any = LLaMAVID.from_pretrained(options.model, device=options.device, dtype=options.dtype)
    try:
        of = f"{model.name} {fingerprint(find_bundle(options.model))}"
    except BundleError:  # a published checkpoint has no manifest
        of = model.name
    return Full(model.full, of=of) if name == "full" else Ours(model, route=options.route, of=of)
