"""A run starts where an earlier one, or a bundle, ended."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from llama_vid.errors import BundleError, ConfigError
from llama_vid.tokenizer.compressor import Compressor
from llama_vid.tokenizer.full import FullProjector
from tests.training.conftest import WIDTH
from tests.training.test_align import CONFIG
from training.decoder import TrainableDecoder
from training.starting import Start


def written(llama: Any, out: Path, **changes: Any) -> tuple[Compressor, TrainableDecoder]:
    torch.manual_seed(3)
    compressor, decoder = Compressor(CONFIG), TrainableDecoder(llama, 2)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_()
    state = {"compressor": compressor.state_dict(), "decoder": decoder.state_dict(), "config": asdict(CONFIG)}
    torch.save(state | changes, out / "align.pt")
    return compressor, decoder


def test_a_run_starts_from_an_earlier_one(llama: Any, tmp_path: Path) -> None:
    compressor, decoder = written(llama, tmp_path)
    torch.manual_seed(4)
    mine, deltas = Compressor(CONFIG), TrainableDecoder(llama, 2)
    start = Start.of("align", tmp_path)
    start.apply(mine, deltas)
    assert start.config == CONFIG
    for key, value in compressor.state_dict().items():
        assert torch.equal(mine.state_dict()[key], value)
    for key, value in decoder.state_dict().items():
        assert torch.equal(deltas.state_dict()[key], value)


def test_the_full_baseline_takes_only_the_deltas(llama: Any, tmp_path: Path) -> None:
    _, decoder = written(llama, tmp_path)
    projector, deltas = FullProjector(4, 16, WIDTH), TrainableDecoder(llama, 2)
    before = {key: value.clone() for key, value in projector.state_dict().items()}
    Start.of("align", tmp_path).apply(projector, deltas)
    assert all(torch.equal(projector.state_dict()[key], value) for key, value in before.items())
    assert torch.equal(
        deltas.lora_tensors()["layers.0.mlp.down_proj.lora_B"], decoder.state_dict()["layers.0.down.b.0"]
    )


def test_what_does_not_fit_is_refused(llama: Any, tmp_path: Path) -> None:
    written(llama, tmp_path)
    start = Start.of("align", tmp_path)
    with pytest.raises(ConfigError, match="another shape"):
        start.apply(Compressor(replace(CONFIG, width=48)), TrainableDecoder(llama, 2))
    with pytest.raises(ConfigError, match="rank"):
        start.apply(Compressor(CONFIG), TrainableDecoder(llama, 4))
    with pytest.raises(BundleError, match="no model 'nothing'"):
        Start.of("nothing", tmp_path)
    written(llama, tmp_path, config={})
    with pytest.raises(ConfigError, match="no compressor"):
        Start.of("align", tmp_path)


def test_weights_of_one_descent_are_averaged(llama: Any, tmp_path: Path) -> None:
    written(llama, tmp_path)
    one = Start.of("align", tmp_path)
    other = replace(
        one, compressor={k: v + 1 for k, v in one.compressor.items()}, lora={k: v - 2 for k, v in one.lora.items()}
    )
    mixed = one.averaged(other, 0.25)
    for key, value in one.compressor.items():
        torch.testing.assert_close(mixed.compressor[key], value + 0.25)
    for key, value in one.lora.items():
        torch.testing.assert_close(mixed.lora[key], value - 0.5)
    with pytest.raises(ConfigError, match="other shapes"):
        one.averaged(replace(other, lora={}), 0.5)
