"""Torch's threads while a film is decoded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from llama_vid.threads import beside_decoding


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("whole", "left"), [(1, 1), (2, 1), (3, 1), (4, 2), (8, 6)])
def test_decoding_gets_two_and_torch_the_rest(whole: int, left: int) -> None:
    torch.set_num_threads(whole)
    with beside_decoding():
        assert torch.get_num_threads() == left
    assert torch.get_num_threads() == whole


def test_an_error_gives_the_threads_back() -> None:
    torch.set_num_threads(4)
    with pytest.raises(KeyError), beside_decoding():
        raise KeyError
    assert torch.get_num_threads() == 4
