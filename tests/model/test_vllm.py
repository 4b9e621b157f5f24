"""A film asked through a vLLM server answers as it does here, and only the embedding table is loaded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llama_vid.bundle import load_bundle
from llama_vid.llm.vllm_errors import VllmError, VllmUnavailable
from llama_vid.llm.vllm_language import VllmLanguage
from llama_vid.llm.vllm_options import VllmOptions
from llama_vid.model import LLaMAVID
from tests.bundles import film, mini
from tests.peers.vllm import FakeVllm


@pytest.fixture(scope="module")
def server() -> Iterator[FakeVllm]:
    language = mini().language
    with FakeVllm(language.module, language.tokenizer, name="mini", context=8192) as running:
        yield running


def test_a_film(server: FakeVllm) -> None:
    remote = LLaMAVID(load_bundle("mini", device="cpu", vllm=VllmOptions(server.url, retries=0)))
    try:
        assert not hasattr(remote.bundle.language, "module")
        ours, theirs = LLaMAVID(mini()).open(film(), sound=False), remote.open(film(), sound=False)
        asked = len(server.requests)
        for question in ("Is there a dog?", "Is there an elephant on the road?"):
            assert theirs.ask(question).answer == ours.ask(question).answer
        assert len(server.requests) > asked
        server.trouble = ["500"]
        with pytest.raises(VllmUnavailable, match="failed"):
            theirs.ask("Is there a cat?")
    finally:
        remote.close()


def test_another_model_does_not_load(server: FakeVllm) -> None:
    with pytest.raises(VllmError, match="serves no model"):
        load_bundle("mini", device="cpu", vllm=VllmOptions(server.url, model="other", retries=0))


def test_a_server_that_is_away_is_asked_later() -> None:
    bundle = load_bundle("mini", device="cpu", vllm=VllmOptions("http://127.0.0.1:9", retries=0, connect_s=1.0))
    language = bundle.language
    assert isinstance(language, VllmLanguage)
    assert language.line.down is not None
    language.close()
