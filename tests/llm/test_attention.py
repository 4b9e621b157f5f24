from __future__ import annotations

import pytest
import torch
from torch import Tensor

from llama_vid.llm import attention
from llama_vid.llm.attention import KEYS, Scratch, lower, mixed, over_joined, over_parts, over_past, own, seen, whole
from llama_vid.llm.decoder import projected


def keys(count: int, generator: torch.Generator, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    k, v = torch.randn(2, 1, 2, count, 16, generator=generator).unbind()
    return scale * k, v


@pytest.mark.parametrize("new", [1, 2, 7, 64])
@pytest.mark.parametrize("past", [(), (5,), (300,), (300, 4), (0, 3), (1, 1, 1)])
@pytest.mark.parametrize("heads", [2, 6])
def test_parts_give_what_the_whole_gives(new: int, past: tuple[int, ...], heads: int) -> None:
    generator = torch.Generator().manual_seed(new)
    q = torch.randn(1, heads, new, 16, generator=generator)
    parts, own = [keys(count, generator) for count in past], keys(new, generator)
    torch.testing.assert_close(over_parts(q, parts, own), over_joined(q, parts, own), rtol=1e-5, atol=1e-5)


def test_many_scores_are_computed_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    q, (k, v) = torch.randn(1, 6, 50, 16, generator=generator), keys(90, generator)
    at_once = whole(q, k, v, Scratch())
    monkeypatch.setattr(attention, "SCRATCH_SCORES", 4000)
    for one, other in zip(whole(q, k, v, Scratch()), at_once, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_a_log_sum_exp_is_right_where_the_first_columns_tell_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    q, (k, v) = torch.randn(1, 6, 3, 16, generator=generator), keys(200, generator, scale=100.0)
    out, lse = whole(q, k, v, Scratch())  # one key outweighs all others by far: most shares are 0
    scores = torch.matmul(q.view(1, 2, 9, 16), k.transpose(2, 3)) / 4
    torch.testing.assert_close(lse.view(1, 2, 9), torch.logsumexp(scores, -1), rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(out.view(1, 2, 9, 16), torch.softmax(scores, -1) @ v, rtol=1e-4, atol=1e-4)


def test_keys_that_a_query_does_not_see_do_not_count() -> None:
    generator = torch.Generator().manual_seed(3)
    q, (k, v) = torch.randn(1, 6, 4, 16, generator=generator), keys(9, generator)
    rest = keys(5, generator)
    mask = lower(4, 9, q).clone()
    mask[..., 1, :] = float("-inf")  # the second sees none of them
    both = mixed([whole(q, *rest, Scratch()), seen(q, k, v, mask)])
    for index, visible in enumerate((6, 0, 8, 9)):
        one = q[:, :, index : index + 1]
        alone = [whole(one, *rest, Scratch()), seen(one, k[:, :, :visible], v[:, :, :visible], None)]
        torch.testing.assert_close(
            both[:, :, index : index + 1], mixed(alone if visible else alone[:1]), rtol=1e-5, atol=1e-5
        )


def test_bf16_loses_no_more_than_its_own_rounding() -> None:
    generator = torch.Generator().manual_seed(1)
    q, (k, v) = torch.randn(1, 6, 40, 16, generator=generator), keys(500, generator, scale=1.0)
    exact = over_joined(q, [(k, v)], (k[:, :, :40], v[:, :, :40]))
    k, v, q = k.bfloat16(), v.bfloat16(), q.bfloat16()
    ours = over_parts(q, [(k, v)], (k[:, :, :40], v[:, :, :40]))
    torch.testing.assert_close(ours.float(), exact, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("new", [1, 5])
def test_own_keys_by_either_way(new: int) -> None:
    generator = torch.Generator().manual_seed(2)
    q = torch.randn(3, 6, new, 16, generator=generator)
    k, v = torch.randn(2, 3, 2, 12, 16, generator=generator).unbind()
    for mask in (None, lower(new, 12, q), lower(new, 12, q).repeat(3, 1, 1, 1)):
        for one, other in zip(own(q, k, v, mask), seen(q, k, v, mask), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("queries", [1, 2, 5, 6, 40])
@pytest.mark.parametrize("count", [1, KEYS - 1, KEYS, KEYS + 1, 3 * KEYS + 7])
def test_a_long_past_in_products_of_few_shapes_is_the_whole(queries: int, count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    q, (k, v) = torch.randn(1, 6, queries, 16, generator=generator), keys(count, generator)
    together = mixed(over_past(q, k, v, Scratch()))
    torch.testing.assert_close(together, whole(q, k, v, Scratch())[0], rtol=1e-5, atol=1e-5)


def test_a_growing_past_meets_few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    # oneDNN keeps a kernel of half a megabyte for every shape that a product has.
    shapes: set[tuple[torch.Size, torch.Size]] = set()
    product = torch.mm

    def noted(a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
        shapes.add((a.shape, b.shape))
        return product(a, b, out=out)

    monkeypatch.setattr(attention.torch, "mm", noted)
    generator = torch.Generator().manual_seed(0)
    k, v = keys(4 * KEYS, generator)
    for count in range(1, 4 * KEYS, 7):
        q = torch.randn(1, 6, 1 + count % 20, 16, generator=generator)
        over_past(q, k[:, :, :count], v[:, :, :count], Scratch())
    assert 0 < len(shapes) <= 3 * 6


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 31, 33, 48, 50])
def test_rows_that_are_added_for_the_shape_are_taken_away_again(rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    x = torch.randn(1, rows, 64, generator=generator).bfloat16()
    weight, bias = torch.randn(96, 64, generator=generator).bfloat16(), torch.randn(96, generator=generator).bfloat16()
    found = projected(x, weight, bias)
    assert found.shape == (1, rows, 96)
    torch.testing.assert_close(
        found.float(), torch.nn.functional.linear(x.float(), weight.float(), bias.float()), rtol=2e-2, atol=0.2
    )
