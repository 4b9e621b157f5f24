"""The projections: unit length, patches that may be missing in training, members side by side."""

from __future__ import annotations

import torch

from llama_vid.tokenizer.head import ImageHead, ImageHeads, TextHead, TextHeads


def test_embeddings_are_of_unit_length() -> None:
    image, text = ImageHead(9, 32, 16, hidden=32).eval(), TextHead(24, 16, hidden=32).eval()
    with torch.inference_mode():
        torch.testing.assert_close(image(torch.randn(5, 9, 32)).norm(dim=-1), torch.ones(5))
        torch.testing.assert_close(text(torch.randn(5, 24) * 7).norm(dim=-1), torch.ones(5))


def test_all_patches_kept_is_none_dropped() -> None:
    head = ImageHead(9, 32, 16, hidden=32).eval()
    torch.nn.init.normal_(head.position)
    x = torch.randn(2, 9, 32)
    order = torch.stack([torch.randperm(9) for _ in range(2)])
    shuffled = x.gather(1, order[..., None].expand(-1, -1, 32))
    with torch.inference_mode():
        torch.testing.assert_close(head(shuffled, order), head(x), atol=1e-5, rtol=1e-4)


def test_text_length_does_not_count() -> None:
    head, x = TextHead(24, 16, hidden=32).eval(), torch.randn(3, 24)
    with torch.inference_mode():
        torch.testing.assert_close(head(x * 4), head(x), atol=1e-5, rtol=1e-4)


def test_members_are_joined_in_order() -> None:
    images, texts = ImageHeads(3, 4, 32, 16).eval(), TextHeads(3, 24, 16).eval()
    grid = torch.randn(2, 32, 2, 2)
    states = torch.randn(2, 24)
    with torch.inference_mode():
        joined = images(grid)
        assert joined.shape == (2, 48)
        x = grid.flatten(2).transpose(1, 2)
        for number, member in enumerate(images.members):
            torch.testing.assert_close(joined[:, 16 * number : 16 * number + 16], member(x))
        assert texts(states).shape == (2, 48)
