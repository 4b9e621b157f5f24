from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from torch import Tensor

from llama_vid.errors import LlamaVidError
from llama_vid.llm.cache import KVCache
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.pages import PAGE_TOKENS, KVShape, PagePool
from llama_vid.llm.session import VideoContext
from tests.llm.conftest import WIDTH, MakeEntries

SHAPE = KVShape(layers=2, groups=3, head_width=4, device=torch.device("cpu"), dtype=torch.float32)
#: Each test sets its own context window in pages.
P = PAGE_TOKENS


def write(cache: KVCache, values: Tensor) -> None:
    """Append tokens whose keys are `values` (n,), and whose values are their negatives, in every layer."""
    k = values[None, None, :, None].expand(1, 3, -1, 4)
    for layer in range(2):
        cache.write(layer, k, -k)
    cache.advance(len(values))


def read(cache: KVCache, layer: int, length: int) -> Tensor:
    """The keys (length,) that a layer holds, checked to be alike in all groups and places, and to fit the values."""
    strips = cache.held(layer, length)
    if not strips:
        return torch.empty(0)
    k, v = (torch.cat(parts, dim=2)[0] for parts in zip(*strips, strict=True))
    assert torch.equal(k, -v)
    assert torch.equal(k, k[:1, :, :1].expand_as(k))
    return k[0, :, 0]


def test_what_is_written_is_read_in_as_few_pieces_as_can_be() -> None:
    pool = PagePool(SHAPE, 8 * P, 16 * P)
    cache = KVCache(pool, 8 * P)
    values = torch.arange(5.0 * P + 7)
    for part in values.split(100):
        write(cache, part)
    assert torch.equal(read(cache, 1, cache.length), values)
    assert len(cache.held(0, cache.length)) == 1
    assert torch.equal(torch.cat([k for k, _ in cache.held(0, 700, 300)], 2)[0, 0, :, 0], values[300:700])
    assert (pool.used, pool.bytes) == (6, 6 * P * SHAPE.bytes_per_token)


def test_contexts_that_grow_side_by_side_stay_in_one_piece() -> None:
    pool = PagePool(SHAPE, 8 * P, 8 * P)
    one, other = KVCache(pool, 8 * P), KVCache(pool, 8 * P)
    for _ in range(4):
        write(one, torch.zeros(P))
        write(other, torch.ones(P))
    assert [len(cache.held(0, 4 * P)) for cache in (one, other)] == [1, 1]


def test_a_full_cache_refuses_more() -> None:
    full = KVCache(PagePool(SHAPE, P, P), 4)
    write(full, torch.zeros(3))
    with pytest.raises(LlamaVidError, match="6 tokens do not fit a KV cache of 4"):
        write(full, torch.zeros(3))
    assert full.length == 3


def test_branches_share_pages_and_leave_each_other_alone() -> None:
    pool = PagePool(SHAPE, 4 * P, 8 * P)
    trunk = KVCache(pool, 4 * P)
    values = torch.arange(2.0 * P + 50)
    write(trunk, values)
    branch = trunk.branch(2 * P + 20)
    assert pool.used == 4  # three of the trunk, and a copy of the one that both may write
    write(branch, torch.full((300,), -1.0))
    write(trunk, torch.full((300,), -2.0))
    assert torch.equal(read(trunk, 0, trunk.length), torch.cat([values, torch.full((300,), -2.0)]))
    assert torch.equal(read(branch, 1, branch.length), torch.cat([values[: 2 * P + 20], torch.full((300,), -1.0)]))
    with pytest.raises(ValueError, match="cannot branch"):
        trunk.branch(trunk.length + 1)
    del trunk
    gc.collect()
    assert pool.used == 4
    del branch
    gc.collect()
    assert pool.used == 0
    assert all(slab is None for slab in pool._slabs)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_caches_and_branches_keep_their_tokens(data: st.DataObject) -> None:
    pool = PagePool(SHAPE, 3 * P, 12 * P)
    caches: list[tuple[KVCache, Tensor]] = []
    for step in range(data.draw(st.integers(1, 12))):
        what = data.draw(st.sampled_from(["new", "append", "branch", "drop"]))
        at = data.draw(st.integers(0, max(0, len(caches) - 1)))
        if what == "new" or not caches:
            caches.append((KVCache(pool, 3 * P), torch.empty(0)))
            continue
        cache, values = caches[at]
        try:
            if what == "append":
                more = torch.full((data.draw(st.integers(1, min(P + 40, max(1, 3 * P - cache.length)))),), float(step))
                write(cache, more)
                caches[at] = (cache, torch.cat([values, more]))
            elif what == "branch":
                length = data.draw(st.integers(0, cache.length))
                caches.append((cache.branch(length), values[:length]))
            else:
                del caches[at]
        except LlamaVidError:
            pass  # no room: nothing must have changed
        del cache
        assert all(torch.equal(read(each, 1, each.length), held) for each, held in caches)
    assert pool.used <= 12
    caches.clear()
    gc.collect()
    assert pool.used == 0


@pytest.fixture
def small(tiny_folder: Path) -> Any:
    """small(contexts): the tiny model with room for so many whole contexts."""

    def make(contexts: int) -> LanguageModel:
        from transformers import AutoModelForCausalLM

        module = AutoModelForCausalLM.from_pretrained(tiny_folder)
        tokenizer = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
        return LanguageModel(module, tokenizer, cache_tokens=contexts * module.config.max_position_embeddings)

    return make


def test_fifty_films_do_not_hold_fifty_caches(small: Any, make_entries: MakeEntries) -> None:
    model: LanguageModel = small(3)
    suffix = model.embed_text("\nCaption:")
    films = [VideoContext(model) for _ in range(50)]
    memories = [make_entries(300, seed=seed) for seed in range(50)]
    expected = []
    for film, memory in zip(films, memories, strict=True):
        film.sync(memory)
        expected.append(film.logits(suffix))
        assert model.pool.bytes <= 3 * model.context * model.pool.shape.bytes_per_token
    holding = [index for index, film in enumerate(films) if film.length]
    assert holding == list(range(50 - len(holding), 50))  # those used last
    assert sum(film.cached_bytes for film in films) == model.pool.bytes
    for index in (0, 1, 49, 17):  # asked again: read again
        films[index].sync(memories[index])
        torch.testing.assert_close(films[index].logits(suffix), expected[index], rtol=1e-4, atol=1e-4)


def test_a_context_that_is_asked_keeps_its_pages(small: Any, make_entries: MakeEntries) -> None:
    model: LanguageModel = small(1)
    asked, other = VideoContext(model), VideoContext(model)
    asked.sync(make_entries(600))
    answer = asked.generate(model.embed_text("\nCaption:"), max_tokens=5)
    with pytest.raises(LlamaVidError, match="all 2048 tokens of the KV cache are in use and none can be released"):
        other.sync(make_entries(600, seed=1))
    whole = "".join(answer)
    other.sync(make_entries(600, seed=1))  # now it can
    assert asked.length == 0
    asked.sync(make_entries(600))
    assert "".join(asked.generate(model.embed_text("\nCaption:"), max_tokens=5)) == whole


def test_a_single_context_may_rebuild_in_the_smallest_default_pool(tiny: LanguageModel) -> None:
    assert PagePool(tiny.pool.shape, tiny.context).capacity >= 2 * tiny.context
    assert tiny.pool.shape.bytes_per_token == 3 * 2 * 2 * 8 * 4
    assert tiny.width == WIDTH
