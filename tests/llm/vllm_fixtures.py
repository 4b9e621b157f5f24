"""The tiny model behind a fake vLLM server, and the same model as the program sees it there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from llama_vid.llm.embedding_table import EmbeddingTable
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.vllm_language import VllmLanguage
from llama_vid.llm.vllm_options import VllmOptions
from tests.peers.vllm import FakeVllm

Attach = Callable[..., VllmLanguage]


@contextmanager
def attached(folder: Path, url: str, *, local: LanguageModel | None = None, **options: Any) -> Iterator[VllmLanguage]:
    """The model of a folder, run by the server at `url`."""
    given = {"first_s": 10.0, "token_s": 5.0, "retries": 0} | options
    table = EmbeddingTable.load(folder, torch.device("cpu"), torch.float32)
    language = VllmLanguage(table, VllmOptions(url, **given), local=local)
    try:
        yield language
    finally:
        language.close()


@pytest.fixture
def fake(tiny: LanguageModel) -> Iterator[FakeVllm]:
    """A vLLM server that runs the tiny model."""
    with FakeVllm(tiny.module, tiny.tokenizer) as server:
        yield server


@pytest.fixture
def attach(tiny_folder: Path, fake: FakeVllm) -> Iterator[Attach]:
    """attach(retries=2, …): the tiny model at the fake server."""
    with ExitStack() as stack:

        def one(url: str | None = None, **options: Any) -> VllmLanguage:
            return stack.enter_context(attached(tiny_folder, url or fake.url, **options))

        yield one
