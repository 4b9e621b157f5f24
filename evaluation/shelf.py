"""Films that stay open between evaluations: each clip is taken in once for all of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from llama_vid.token_route import TokenRoute

if TYPE_CHECKING:
    from evaluation.model import Full, Photo
    from llama_vid.bundle import Bundle
    from llama_vid.film import Film
    from llama_vid.llm.responder import Responder
    from llama_vid.model import LLaMAVID

#: Films kept: the clips of a set, whole and as their last frame, and some synthetic ones. A ten-second clip takes
#: about a megabyte, most of it pictures.
FILMS: Final = 192
#: Longer films are not kept, in seconds: joined ones are asked by one evaluation only.
LONGEST: Final = 120.0
#: Answers of a baseline kept: both routes of an evaluation show the same.
ANSWERS: Final = 4096

T = TypeVar("T")


class Shelf:
    """A loaded model whose `open` hands out the same film again while the file is unchanged.

    All else is the model's own. Not thread-safe.
    """

    def __init__(self, model: LLaMAVID) -> None:
        self._model = model
        self._films: OrderedDict[Hashable, Film] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    @property
    def bundle(self) -> Bundle:
        """The model's bundle."""
        return self._model.bundle

    @property
    def responder(self) -> Responder:
        """The model's responder."""
        return self._model.responder

    @cached_property
    def tokens(self) -> TokenRoute:
        """The token route over the films kept here."""
        return TokenRoute(self)

    @cached_property
    def full(self) -> Full:
        """The model's `full` baseline, its answers kept. Raises BundleError while there is none."""
        return RememberedFull(self._model.full)  # type: ignore[attr-defined, unused-ignore]

    def open(self, path: str | PathLike[str], *, last_frame_only: bool = False, **options: Any) -> Film:
        """The film, taken in or as it was left, without its sound: what is measured is what was seen. Raises what the
        model's `open` raises.
        """
        file = Path(path)
        if options or not file.is_file():
            return self._model.open(path, last_frame_only=last_frame_only, **{"sound": False} | options)
        key = (fspath(path), file.stat().st_mtime_ns, last_frame_only)
        film = self._films.get(key)
        if film is None:
            film = self._model.open(path, last_frame_only=last_frame_only, sound=False)
            if film.duration > LONGEST:
                return film
            self._films[key] = film
            if len(self._films) > FILMS:
                self._films.popitem(last=False)
        self._films.move_to_end(key)
        return film


class RememberedFull:
    """The `full` baseline with its answers remembered."""

    def __init__(self, full: Full) -> None:
        self._full = full
        self._known: OrderedDict[Hashable, Any] = OrderedDict()

    def yesno(self, path: str, questions: Sequence[str], /) -> list[float]:
        """p(yes) of each question."""
        return self._remembered(("yesno", path, tuple(questions)), lambda: self._full.yesno(path, questions))

    def ask(self, path: str, questions: Sequence[str], /) -> list[str]:
        """Each question's answer."""
        return self._remembered(("ask", path, tuple(questions)), lambda: self._full.ask(path, questions))

    def caption_photos(self, images: Sequence[Photo], /) -> list[str]:
        """One sentence for each photo; these are not asked for twice."""
        return self._full.caption_photos(images)

    def _remembered(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = make()
            if len(self._known) > ANSWERS:
                self._known.popitem(last=False)
        known: T = self._known[key]
        return known
