"""LLaMA-VID Live: video as two tokens a frame, watched live or read from a file, and asked about at any time.

    from llama_vid import LLaMAVID
    model = LLaMAVID.from_pretrained("mini")
    print(model.ask("lecture.mp4", "What happens at the start?").answer)

Importing this package loads neither torch nor transformers nor av: a public name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from llama_vid.errors import (
    BundleError,
    ConfigError,
    EndOfStream,
    LlamaVidError,
    ProtocolError,
    QuestionError,
    SourceError,
)

if TYPE_CHECKING:
    from llama_vid.film import Film
    from llama_vid.llm.answer import Answer, AnswerPiece, Evidence, Moment, Span, Timing, TokenUse
    from llama_vid.llm.placement import LoadOptions
    from llama_vid.model import LLaMAVID
    from llama_vid.session import Session
    from llama_vid.stream.frame import Frame

#: Where each public name that needs heavy libraries lives.
_LAZY: Final = {
    "LLaMAVID": "llama_vid.model",
    "Film": "llama_vid.film",
    "Session": "llama_vid.session",
    "Frame": "llama_vid.stream.frame",
    "Answer": "llama_vid.llm.answer",
    "AnswerPiece": "llama_vid.llm.answer",
    "Evidence": "llama_vid.llm.answer",
    "Moment": "llama_vid.llm.answer",
    "Span": "llama_vid.llm.answer",
    "Timing": "llama_vid.llm.answer",
    "TokenUse": "llama_vid.llm.answer",
    "LoadOptions": "llama_vid.llm.placement",
}

__all__ = [
    "Answer",
    "AnswerPiece",
    "BundleError",
    "ConfigError",
    "EndOfStream",
    "Evidence",
    "Film",
    "Frame",
    "LLaMAVID",
    "LlamaVidError",
    "LoadOptions",
    "Moment",
    "ProtocolError",
    "QuestionError",
    "Session",
    "SourceError",
    "Span",
    "Timing",
    "TokenUse",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Import a public name on first use (PEP 562)."""
    if name == "__version__":
        return _version()
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return __all__


def _version() -> str:
    """The installed version, or "0+source" when run from a folder that was never installed."""
    try:
        return version("llama-vid-live")
    except PackageNotFoundError:
        return "0+source"


if TYPE_CHECKING:
    __version__: str
