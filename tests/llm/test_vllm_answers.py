"""The language model behind vLLM's protocol says, token for token, what it says here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch

from llama_vid.errors import LlamaVidError, QuestionError
from llama_vid.llm.batching import Batch, Request
from llama_vid.llm.cache import Snapshot
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.likelihood import likelihoods
from llama_vid.llm.prompts import yes_no_ids
from llama_vid.llm.session import VideoContext
from llama_vid.llm.steps import Pause
from llama_vid.llm.vllm_context import VllmContext, stop_ids
from llama_vid.llm.vllm_errors import VllmUnavailable
from llama_vid.llm.vllm_request import Sampling
from llama_vid.memory.consolidation import oldest_first
from tests.llm.conftest import MakeEntries
from tests.llm.vllm_fixtures import Attach, attach, fake
from tests.peers.vllm import FakeVllm

__all__ = ["attach", "fake"]

QUESTIONS = ("\nCaption:", "\nQuestion: Is there a dog?\nAnswer:", "x", "\nQuestion: Wie heißt der Hund?\nAnswer:")


def said(pieces: Iterator[str]) -> str:
    return "".join(pieces)


@pytest.mark.parametrize("seed", range(2))
def test_answers_are_those_of_the_local_engine(
    tiny: LanguageModel, attach: Attach, make_entries: MakeEntries, seed: int
) -> None:
    remote = attach()
    here, there = VideoContext(tiny), VllmContext(remote)
    entries = tuple(make_entries(120, seed=seed))
    different = set()
    for count in (0, 1, 61, 120):
        for context in (here, there):
            context.sync(entries[:count])
        assert there.length == here.length
        for question in QUESTIONS:
            suffix = tiny.embed_text(question)
            expected = said(here.generate(suffix, max_tokens=12))
            different.add(expected)
            assert said(there.generate(suffix, max_tokens=12)) == expected
    assert len(different) > 3  # else it would prove nothing


def test_after_a_consolidation_and_with_stops(tiny: LanguageModel, attach: Attach, make_entries: MakeEntries) -> None:
    here, there = VideoContext(tiny), VllmContext(attach())
    entries = make_entries(90)
    fewer = (*oldest_first(entries, 60, recent_seconds=30), *make_entries(3, start=90))
    suffix = tiny.embed_text(QUESTIONS[1])
    whole = ""
    for now in (tuple(entries), fewer):
        for context in (here, there):
            context.sync(now)
        whole = said(here.generate(suffix, max_tokens=16))
        assert said(there.generate(suffix, max_tokens=16)) == whole
    stop = [tiny.tokenize(whole)[3]]
    assert said(there.generate(suffix, max_tokens=16, stop=stop)) == said(
        here.generate(suffix, max_tokens=16, stop=stop)
    )
    assert said(there.generate(suffix, max_tokens=16, loop=2)) == said(here.generate(suffix, max_tokens=16, loop=2))


def test_a_question_sees_the_memory_of_its_time(tiny: LanguageModel, attach: Attach, make_entries: MakeEntries) -> None:
    here, there = VideoContext(tiny), VllmContext(attach())
    entries = make_entries(50)
    suffix = tiny.embed_text(QUESTIONS[0])
    for context in (here, there):
        context.sync(tuple(entries[:30]))
    pieces = there.generate(suffix, max_tokens=16)
    expected = said(here.generate(suffix, max_tokens=16))
    there.sync(tuple(entries))
    assert said(pieces) == expected


def test_margins(tiny: LanguageModel, attach: Attach, make_entries: MakeEntries, fake: FakeVllm) -> None:
    remote = attach()
    prompts = [torch.cat([tiny.embed_text("[0 min]"), torch.randn(6, tiny.width)]) for _ in range(3)]
    yes, no = yes_no_ids(tiny.tokenize)
    for one, other in ((yes, no), *pairwise(range(60, 66))):
        logits = [tiny.logits(tiny.forward(prompt)[-1]) for prompt in prompts]
        expected = [float(row[one] - row[other]) for row in logits]
        assert remote.line.margin(prompts, one, other).result(10) == pytest.approx(expected, abs=1e-3)
    asked = [body for body in fake.requests if body.get("allowed_token_ids")]
    assert any(len(body["allowed_token_ids"]) == 1 for body in asked)  # one was no likely token, and asked for alone


def test_likelihoods(tiny: LanguageModel, attach: Attach, fake: FakeVllm) -> None:
    remote, prompt = attach(), tiny.embed_text("[0 min]\nQuestion: What colour is it?\nAnswer:")
    (greedy,) = remote.line.complete(prompt, Sampling(4)).result(10)
    texts = [" red.", " rot", "", " red"]
    ids = [tiny.tokenize(text) for text in texts] + [list(greedy)]
    found = remote.line.likelihoods(prompt, ids, remote.embed).result(20)
    expected = likelihoods(tiny, prompt, texts)
    assert [total for total, _ in found[:4]] == pytest.approx([each.total for each in expected], abs=2e-3)
    assert [is_greedy for _, is_greedy in found] == [False, False, True, False, True]
    fake.trouble = ["500"]
    with pytest.raises(VllmUnavailable):
        remote.line.likelihoods(prompt, ids, remote.embed).result(20)


def test_continuations(tiny: LanguageModel, attach: Attach) -> None:
    remote, prompt = attach(), tiny.embed_text("\nCaption:")
    (greedy,) = remote.line.complete(prompt, Sampling(8, stop_ids(remote, ()))).result(10)
    cache = tiny.new_cache(64)
    tiny.forward(prompt[:-1], cache)
    request = Request(prompt[-1:], Snapshot(cache, cache.length), 8, loop=99)
    assert said(Batch(tiny).ask(request)) == tiny.detokenize([token for token in greedy if not tiny.is_control(token)])
    drawn = Sampling(8, temperature=0.9, count=6, top=32, seed=1)
    rows = remote.line.complete(prompt, drawn).result(10)
    assert len(rows) == 6
    assert len(set(rows)) > 1
    assert remote.line.complete(prompt, drawn).result(10) == rows


def test_pauses_while_nothing_comes(attach: Attach, make_entries: MakeEntries, fake: FakeVllm) -> None:
    remote = attach()
    context = VllmContext(remote)
    context.sync(tuple(make_entries(5)))
    fake.slow.set()
    pieces = context.generate(remote.embed_text("\nCaption:"), max_tokens=8)
    assert isinstance(next(pieces), Pause)
    assert context.busy
    fake.released.set()
    assert any(list(pieces))
    assert not context.busy


def test_only_the_table_is_here(attach: Attach) -> None:
    remote = attach()
    for work in (remote.forward, remote.logits, remote.new_cache):
        with pytest.raises(LlamaVidError, match=r"llm\.engine: local"):
            work(torch.zeros(1, remote.width))
    assert not hasattr(remote, "module")


def test_too_long_a_question(attach: Attach, make_entries: MakeEntries) -> None:
    remote = attach()
    context = VllmContext(remote)
    context.sync(tuple(make_entries(900)))
    with pytest.raises(QuestionError, match="ask a shorter question"):
        context.generate(torch.zeros(remote.context, remote.width), max_tokens=8)
    with pytest.raises(ValueError, match="one token"):
        context.generate(torch.zeros(0, remote.width), max_tokens=8)
