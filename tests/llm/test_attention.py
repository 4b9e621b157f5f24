from __future__ import annotations

import pytest
import torch

from llama_vid.errors import LlamaVidError
from llama_vid.llm.attention import over_joined, over_parts
from llama_vid.llm.cache import KVCache


@pytest.mark.parametrize("new", [1, 2, 7, 64])
@pytest.mark.parametrize("past", [(), (5,), (300,), (300, 4), (0, 3), (1, 1, 1)])
@pytest.mark.parametrize("heads", [2, 6])
def test_parts_give_what_the_whole_gives(new: int, past: tuple[int, ...], heads: int) -> None:
    generator = torch.Generator().manual_seed(new)

    def keys(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        k, v = torch.randn(2, 1, 2, count, 16, generator=generator).unbind()
        return 3 * k, v

    q = torch.randn(1, heads, new, 16, generator=generator)
    parts, own = [keys(count) for count in past], keys(new)
    torch.testing.assert_close(over_parts(q, parts, own), over_joined(q, parts, own), rtol=1e-5, atol=1e-5)


def cache(capacity: int) -> KVCache:
    return KVCache(layers=2, groups=3, head_width=4, capacity=capacity, device=torch.device("cpu"), dtype=torch.float32)


def test_a_full_cache_refuses_more() -> None:
    full = cache(4)
    k = torch.zeros(1, 3, 3, 4)
    full.write(0, k, k)
    full.advance(3)
    with pytest.raises(LlamaVidError, match="6 tokens do not fit a KV cache of 4"):
        full.write(0, k, k)
    assert full.length == 3


def test_forks_and_copies_leave_the_original_alone() -> None:
    original = cache(16)
    k = torch.arange(36.0).reshape(1, 3, 3, 4)
    for layer in (0, 1):
        original.write(layer, k, k)
    original.advance(3)
    fork = original.fork(8)
    assert fork.length == 3
    fork.attend(0, torch.zeros(1, 3, 2, 4), k[:, :, :2], k[:, :, :2])
    fork.advance(2)
    assert (fork.length, original.length) == (5, 3)
    twin = original.copy_of(2)
    twin.write(0, -k, -k)
    assert torch.equal(original.held(0, 3)[0], k)
    assert torch.equal(twin.held(1, 2)[1], k[:, :, :2])
    with pytest.raises(ValueError, match="cannot truncate"):
        original.truncate(4)
    original.truncate(1)
    assert original.length == 1
    assert original.bytes_per_token == 2 * 2 * 3 * 4 * 4
