"""Whichever reads a memory: the language model here, or the vLLM server that runs it."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING

from llama_vid.llm.agreement import Rarity
from llama_vid.llm.calibration import Calibration
from llama_vid.llm.evidence import Finder
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.layout import MARKS
from llama_vid.llm.session import RESERVE, VideoContext
from llama_vid.tokenizer.scoring import SceneScorer

if TYPE_CHECKING:
    from llama_vid.llm.vllm_context import VllmContext
    from llama_vid.llm.vllm_language import VllmLanguage


def context_of(
    language: LanguageModel, *, zone: tzinfo | None = None, marks: int = MARKS, reserve: int = RESERVE
) -> VideoContext | VllmContext:
    """A memory in front of the language model, wherever it runs."""
    if (remote := _remote(language)) is None:
        return VideoContext(language, zone=zone, marks=marks, reserve=reserve)
    from llama_vid.llm.vllm_context import VllmContext  # loads an HTTP client, which few need

    return VllmContext(remote, zone=zone, marks=marks, reserve=reserve)


def finder_of(
    language: LanguageModel, scorer: SceneScorer, calibration: Calibration, rarity: Rarity | None = None
) -> Finder:
    """What finds moments and tells them with the language model, wherever it runs."""
    if (remote := _remote(language)) is None:
        return Finder(language, scorer, calibration, rarity)
    from llama_vid.llm.vllm_finder import VllmFinder

    return VllmFinder(remote, scorer, calibration, rarity)


def _remote(language: LanguageModel) -> VllmLanguage | None:
    if not language.remote:
        return None
    from llama_vid.llm.vllm_language import VllmLanguage

    return language if isinstance(language, VllmLanguage) else None
