"""What can go wrong with a vLLM server: each gets one clear error, another try, or an answer from here."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from llama_vid.errors import BundleError, ConfigError
from llama_vid.llm.embedding_table import EmbeddingTable
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.session import VideoContext
from llama_vid.llm.vllm_context import VllmContext
from llama_vid.llm.vllm_errors import VllmError, VllmUnavailable, refused
from llama_vid.llm.vllm_language import VllmLanguage
from llama_vid.llm.vllm_request import Sampling
from tests.llm.conftest import MakeEntries, save_tiny
from tests.llm.vllm_fixtures import Attach, attach, attached, fake
from tests.peers.vllm import FakeVllm

__all__ = ["attach", "fake"]

QUESTION = "\nQuestion: Is there a dog?\nAnswer:"


def answer(language: VllmLanguage, entries: tuple[object, ...] = (), most: int = 12) -> str:
    context = VllmContext(language)
    context.sync(entries)  # type: ignore[arg-type]
    return "".join(context.generate(language.embed_text(QUESTION), max_tokens=most))


def expected(tiny: LanguageModel, most: int = 12) -> str:
    return "".join(VideoContext(tiny).generate(tiny.embed_text(QUESTION), max_tokens=most))


def wait_for(condition: object, seconds: float = 20.0) -> None:
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_server_down(attach: Attach) -> None:
    language = attach(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(VllmUnavailable, match=r"no connection.*vllm serve MODEL --enable-prompt-embeds"):
        answer(language)
    began = time.monotonic()
    with pytest.raises(VllmUnavailable):
        answer(language)
    assert time.monotonic() - began < 1  # it is not tried again for a while
    assert language.line.down is not None


def test_starting(attach: Attach, fake: FakeVllm, tiny: LanguageModel) -> None:
    fake.health = 503
    language = attach()
    language.line._rest_s = 0.0
    with pytest.raises(VllmUnavailable, match="starting or overloaded"):
        answer(language)
    fake.health = 200
    assert answer(language) == expected(tiny)


@pytest.mark.parametrize("trouble", ["503", "500", "cut:0", "cut:2", "error:2"])
def test_what_passes_is_tried_again(attach: Attach, fake: FakeVllm, tiny: LanguageModel, trouble: str) -> None:
    language = attach(retries=2)
    fake.trouble = ["", "", trouble]  # the first two requests compare the models
    assert answer(language) == expected(tiny)
    streams = [body for body in fake.requests if body.get("stream")]
    assert len(streams) == 2
    spared = {"cut:2": 2, "error:2": 2}.get(trouble, 0)
    assert streams[1]["max_tokens"] == 12 - spared  # goes on from what was said


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("cut:2", "ended its answer in the middle|broke"),
        ("error:2", "EngineCore died"),
        ("500", "EngineCore encountered"),
        ("401", "llm.vllm.api_key_file"),
        ("302", "not followed"),
        ("page", "is it a vLLM server|ended its answer in the middle"),
    ],
)
def test_without_another_try(attach: Attach, fake: FakeVllm, trouble: str, message: str) -> None:
    language = attach()
    fake.trouble = ["", "", trouble]
    with pytest.raises(VllmError, match=message):
        answer(language)


def test_hanging(attach: Attach, fake: FakeVllm) -> None:
    language = attach(first_s=0.3)
    fake.trouble = ["", "", "hang"]
    with pytest.raises(VllmUnavailable, match="said nothing for too long"):
        answer(language)


def test_stalled_in_the_middle(attach: Attach, fake: FakeVllm) -> None:
    language = attach(first_s=2.0)
    language.line.served()
    fake.slow.set()  # the headers come, and no token
    with pytest.raises(VllmUnavailable, match=r"sent nothing for 2 s|said nothing for too long"):
        answer(language)


@pytest.mark.parametrize("how", ["close", "cancel", "drop"])
def test_cancelling_ends_the_request(attach: Attach, fake: FakeVllm, how: str) -> None:
    language = attach()
    language.line.served()
    fake.slow.set()
    context = VllmContext(language)
    cancelled = False
    pieces = context.generate(language.embed_text(QUESTION), max_tokens=12, cancel=lambda: cancelled)
    next(pieces)
    wait_for(lambda: fake.under_way == 1)
    if how == "cancel":
        cancelled = True
        assert list(pieces) == []
    elif how == "close":
        assert isinstance(pieces, Iterator)
        pieces.close()  # type: ignore[attr-defined]
    else:
        del pieces
    wait_for(lambda: fake.aborted == 1)
    assert not context.busy


def test_no_more_at_once_than_allowed(attach: Attach, fake: FakeVllm) -> None:
    language = attach(at_once=2)
    language.line.served()
    fake.slow.set()
    context = VllmContext(language)
    answers = [context.generate(language.embed_text(QUESTION), max_tokens=4) for _ in range(5)]
    wait_for(lambda: fake.under_way == 2)
    fake.released.set()
    assert len({"".join(each) for each in answers}) == 1
    assert fake.most_under_way == 2


def test_not_enabled(tiny: LanguageModel, tiny_folder: Path) -> None:
    with FakeVllm(tiny.module, tiny.tokenizer, embeds=False) as server, attached(tiny_folder, server.url) as language:
        with pytest.raises(VllmError, match="start it with --enable-prompt-embeds"):
            language.line.served()
        with pytest.raises(VllmError, match="start it with --enable-prompt-embeds"):
            answer(language)


def test_another_model(tiny_folder: Path, tmp_path: Path) -> None:
    other = LanguageModel.load(save_tiny(tmp_path, seed=7), device="cpu", dtype="fp32")
    with (
        FakeVllm(other.module, other.tokenizer) as server,
        attached(tiny_folder, server.url) as language,
        pytest.raises(VllmError, match=r"another language model.*models export"),
    ):
        language.line.served()


def test_other_weights_behind_the_same_words(tiny_folder: Path, tiny: LanguageModel) -> None:
    trained = LanguageModel.load(tiny_folder, device="cpu", dtype="fp32")
    for layer in trained.module.model.layers:
        layer.mlp.down_proj.weight.data *= -2.0
    with FakeVllm(trained.module, trained.tokenizer) as server:
        with attached(tiny_folder, server.url) as language:
            language.line.served()  # nothing here to compare with
        with (
            attached(tiny_folder, server.url, local=tiny) as language,
            pytest.raises(VllmError, match="other weights"),
        ):
            language.line.served()


def test_another_width(attach: Attach) -> None:
    language = attach()
    language.line.served()
    with pytest.raises(VllmError, match=r"another width.*hidden_size 64 does not match the model's hidden_size 48"):
        language.line.complete(torch.zeros(3, 64), Sampling(2)).result(5)


def test_too_small_a_context(tiny: LanguageModel, tiny_folder: Path) -> None:
    with (
        FakeVllm(tiny.module, tiny.tokenizer, context=512) as server,
        attached(tiny_folder, server.url) as language,
        pytest.raises(VllmError, match=r"set memory\.context_tokens to 512"),
    ):
        language.line.served()


def test_too_long_a_prompt(attach: Attach) -> None:
    language = attach()
    with pytest.raises(VllmError, match=r"too long.*maximum context length is 2048"):
        language.line.complete(torch.zeros(2048, 48), Sampling(2)).result(10)


def test_no_floating_point(attach: Attach) -> None:
    with pytest.raises(VllmError, match="not a floating-point type"):
        attach().line.complete(torch.zeros(3, 48, dtype=torch.long), Sampling(2)).result(5)


def test_the_name(attach: Attach, fake: FakeVllm) -> None:
    with pytest.raises(VllmError, match=r"serves no model nope \(it has: tiny\)"):
        attach(model="nope").line.served()
    assert attach(model="tiny").line.served().model == "tiny"


def test_key(tiny: LanguageModel, tiny_folder: Path) -> None:
    with FakeVllm(tiny.module, tiny.tokenizer, key="sesame-opens") as server:
        with attached(tiny_folder, server.url, key="sesame-opens") as language:
            assert answer(language) == expected(tiny)
        with attached(tiny_folder, server.url, key="hunter2222") as language:
            with pytest.raises(VllmError, match="refuses our key") as caught:
                answer(language)
            assert "hunter2222" not in str(caught.value) + repr(language.line.options)


def test_answers_from_here_while_it_is_away(
    attach: Attach, fake: FakeVllm, tiny: LanguageModel, make_entries: MakeEntries, caplog: pytest.LogCaptureFixture
) -> None:
    language = attach(local=tiny)
    entries = tuple(make_entries(20))
    context, alone = VllmContext(language), VideoContext(tiny)
    for each in (context, alone):
        each.sync(entries)
    suffix = tiny.embed_text(QUESTION)
    whole = "".join(alone.generate(suffix, max_tokens=12))
    for trouble in ("500", "cut:3", "error:1"):
        language.line._failed = None
        fake.trouble = ["", "", trouble]
        with caplog.at_level(logging.WARNING):
            assert "".join(context.generate(suffix, max_tokens=12)) == whole
        assert "the language model here answers" in caplog.text
        caplog.clear()
        asked = len(fake.requests)
        assert "".join(context.generate(suffix, max_tokens=12)) == whole  # it is left alone for a while
        assert len(fake.requests) == asked
    assert context.cached_bytes > 0


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (429, b"", "starting or overloaded"),
        (404, b'{"error":{"message":"The model `x` does not exist."}}', "does not exist"),
        (400, b'{"object":"error","message":"logprobs is too large"}', r"HTTP 400: logprobs is too large"),
        (400, b"\xff\xfe<html>", r"HTTP 400\)"),
        (400, b'{"error":{"message":' + b'"' + b"long " * 200 + b'"}}', "…"),
        (422, b"[1]", "HTTP 422"),
    ],
)
def test_refusals_in_words(status: int, body: bytes, message: str) -> None:
    said = str(refused("http://gpu:8000", status, body))
    assert len(said) < 400
    with pytest.raises(VllmError, match=message):
        raise refused("http://gpu:8000", status, body)


def test_the_table_alone(tiny_folder: Path, tiny: LanguageModel, tmp_path: Path) -> None:
    table = EmbeddingTable.load(tiny_folder, torch.device("cpu"), torch.float32)
    weight: Tensor = tiny.module.model.embed_tokens.weight
    assert torch.equal(table.weight, weight)
    assert (table.context, table.eos) == (tiny.context, tiny.eos)
    with pytest.raises(BundleError, match=r"config\.json cannot be read"):
        EmbeddingTable.load(tmp_path, torch.device("cpu"), torch.float32)
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((tiny_folder / name).read_bytes())
    with pytest.raises(BundleError, match=r"gives no model\.embed_tokens\.weight"):
        EmbeddingTable.load(tmp_path, torch.device("cpu"), torch.float32)
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map":{"model.embed_tokens.weight":"a.safetensors"}}'
    )
    (tmp_path / "a.safetensors").write_bytes((tiny_folder / "model.safetensors").read_bytes())
    assert torch.equal(EmbeddingTable.load(tmp_path, torch.device("cpu"), torch.float32).weight, weight)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map":{"model.embed_tokens.weight":"../a"}}')
    with pytest.raises(BundleError, match="names no file"):
        EmbeddingTable.load(tmp_path, torch.device("cpu"), torch.float32)
    (tmp_path / "config.json").write_text('{"model_type":"gemma"}')
    with pytest.raises(BundleError, match="Llama family"):
        EmbeddingTable.load(tmp_path, torch.device("cpu"), torch.float32)


def test_options_keep_the_key_to_themselves(attach: Attach) -> None:
    language = attach(key="very-secret-key")
    assert "very-secret" not in repr(language.line.options)
    assert replace(language.line.options, at_once=1).key == "very-secret-key"


def test_the_end_of_the_program_ends_answers(attach: Attach, fake: FakeVllm) -> None:
    language = attach()
    language.line.served()
    fake.slow.set()
    pieces = VllmContext(language).generate(language.embed_text(QUESTION), max_tokens=12)
    next(pieces)
    wait_for(lambda: fake.under_way == 1)
    language.close()
    with pytest.raises(VllmUnavailable, match="given up"):
        list(pieces)
    wait_for(lambda: fake.aborted == 1)


def test_bad_certificates_are_told_at_once(attach: Attach, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(ConfigError, match="holds no certificates"):
        attach("https://127.0.0.1:1", ca=str(tmp_path / "ca.pem")).line.served()
