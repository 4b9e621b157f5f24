"""Packed rows compute what each question alone would, in transformers' own forward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.training.conftest import END, WIDTH, encode
from training.decoder import TrainableDecoder
from training.packing import IGNORED, PAIR, Item, Packer, Segment

ITEMS = (
    Item(
        [*encode("[0 min]"), ~0, ~1],
        [
            Segment(encode("\nCaption:"), [*encode(" A dog."), END]),
            Segment(encode("\nQuestion: Is it?\nAnswer:"), [*encode(" Yes."), END], weight=2.0),
        ],
    ),
    Item([~2], [Segment(encode("\nCaption:"), [*encode(" Snow falls."), END])]),
)


def alone(llama: Any, item: Item, segment: Segment, tokens: Tensor) -> tuple[float, float]:
    """The weighted loss and the weight of one segment behind its memory, unpacked."""
    embed = llama.model.embed_tokens.weight
    rows = []
    for token in item.prefix:
        rows.append(embed[token][None] if token >= 0 else tokens[2 * ~token : 2 * ~token + 2])
    rows.append(embed[torch.tensor([*segment.suffix, *segment.target])])
    with torch.no_grad():
        logits = llama(inputs_embeds=torch.cat(rows)[None]).logits[0]
    n = len(segment.target)
    losses = F.cross_entropy(logits[-n - 1 : -1], torch.tensor(segment.target), reduction="none")
    weights = torch.tensor([segment.weight, *[1.0] * (n - 1)])
    return float((losses * weights).sum()), float(weights.sum())


def test_packed_loss_equals_separate_losses(llama: Any) -> None:
    tokens = torch.randn(6, WIDTH)
    packer = Packer(2, 96)
    assert all(packer.add(item) for item in ITEMS)
    rows = packer.finish()
    decoder = TrainableDecoder(llama, 4)
    x = decoder.get_buffer("embedding")[rows.ids.clamp(min=0)]
    x = x.index_put((rows.slots[:, 0], rows.slots[:, 1]), tokens[rows.frames])
    with torch.no_grad():
        hidden = decoder(x, rows.positions, rows.mask.float())
    wanted = rows.labels != IGNORED
    losses = F.cross_entropy(hidden[wanted] @ decoder.get_buffer("embedding").T, rows.labels[wanted], reduction="none")
    packed = float((losses * rows.weights[wanted]).sum() / rows.weights[wanted].sum())
    parts = [alone(llama, item, segment, tokens) for item in ITEMS for segment in item.segments]
    expected = sum(loss for loss, _ in parts) / sum(weight for _, weight in parts)
    assert abs(packed - expected) < 1e-3


def test_positions_go_on_from_the_prefix_and_labels_are_the_targets() -> None:
    packer = Packer(1, 96)
    packer.add(ITEMS[0])
    rows = packer.finish()
    prefix = len(encode("[0 min]")) + 4
    first = len(ITEMS[0].segments[0].suffix) + len(ITEMS[0].segments[0].target) - 1
    assert rows.positions[0, :prefix].tolist() == list(range(prefix))
    assert int(rows.positions[0, prefix]) == int(rows.positions[0, prefix + first]) == prefix
    assert (rows.ids == PAIR).sum() == 4
    assert rows.frames.tolist() == [0, 1, 2, 3]
    targets = [token for segment in ITEMS[0].segments for token in segment.target]
    assert rows.labels[rows.labels != IGNORED].tolist() == targets
    weights = rows.weights[rows.labels != IGNORED].tolist()
    assert weights == [1.0] * 8 + [2.0] + [1.0] * 5


def test_full_rows_refuse_and_the_size_is_what_is_used() -> None:
    size = Packer(1, 1).size(ITEMS[1])
    packer = Packer(2, size)
    assert packer.add(ITEMS[1])
    assert packer.add(ITEMS[1])
    assert not packer.add(ITEMS[1])
    assert not packer.add(ITEMS[0])
    assert packer.finish().ids.shape == (2, size)
