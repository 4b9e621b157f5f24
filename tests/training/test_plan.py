"""The plan of a run: sizes agree with the real things, what is finished is seen, what cannot run is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from llama_vid.commands.work import train
from llama_vid.errors import BundleError, ConfigError
from llama_vid.tokenizer.compressor import Compressor, CompressorConfig
from tests.training.tiny_parts import tiny_llama, tiny_photos, tiny_tower
from training.decoder import Layer, TrainableDecoder
from training.plan import Plan
from training.recipe import Language, LlamaShape, Tower, load_recipe
from training.run import plan_recipe, run_recipe
from training.sizes import LlamaSize, compressor_parameters, tower_shape

KEYS = "rows: 1\nlength: 320\nrank: 2\ncompressor_rate: 1e-4\nlora_rate: 1e-4\nseconds: 10\nwarm_seconds: 5\n"


@pytest.mark.parametrize(
    ("name", "parameters"), [("vit-b-32_llama-3.2-1b", 1_235_814_400), ("vit-l-14_llama-2-7b", 6_738_415_616)]
)
def test_the_recipes_that_come_along_tell_the_real_shapes(name: str, parameters: int) -> None:
    _, recipe = load_recipe(name)
    size = LlamaSize.of(recipe.language)
    assert size is not None
    assert size.parameters == parameters


def test_sizes_are_those_of_the_real_things(llama: Any, tmp_path: Path) -> None:
    llama.save_pretrained(tmp_path)
    size = LlamaSize.of(Language(folder=tmp_path))
    assert size is not None
    assert size.parameters == sum(value.numel() for value in llama.parameters())
    assert size.deltas(3) == sum(value.numel() for value in TrainableDecoder(llama, 3).parameters())
    untied = LlamaSize.of(Language(folder=tiny_llama(tmp_path / "untied", tie_word_embeddings=False)))
    assert untied is not None
    assert not untied.shape.tied
    assert LlamaSize.of("mini").parameters == 134_515_008  # type: ignore[union-attr]
    config = CompressorConfig(patches=49, channels=64, guide=24, out=48)
    assert compressor_parameters(49, 64, 24, 48) == sum(value.numel() for value in Compressor(config).parameters())
    assert tower_shape("mini") == (81, 1280, 512)
    assert tower_shape(Tower(name="ViT-L-14", weights=tmp_path)) == (256, 1024, 768)
    assert tower_shape(Tower(name="RN50", weights=tmp_path)) is None


def test_activations_are_about_what_a_layer_keeps(llama: Any) -> None:
    layer, rows, length = Layer(llama.model.layers[0].bfloat16(), 6, 2, 2, 1e-5), 2, 64
    x = torch.randn(rows, length, 48, dtype=torch.bfloat16, requires_grad=True)
    angles, mask = torch.rand(rows, 1, length, 8).bfloat16(), torch.zeros(rows, 1, 1, length, length).bfloat16()
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not any(tensor.data_ptr() == own.data_ptr() for own in (*layer.parameters(), *layer.buffers())):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = layer(x, angles, angles, mask)
    assert out.shape == x.shape
    shape = LlamaShape(layers=1, width=48, inner=64, heads=6, groups=2, words=258, tied=True)
    assert LlamaSize(shape).activations(rows, length) == pytest.approx(sum(kept.values()), rel=0.5)


def test_a_folder_of_another_shape_is_refused(tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path / "llama")
    shape = LlamaShape(layers=3, width=48, inner=64, heads=6, groups=2, words=300, tied=True)
    with pytest.raises(BundleError, match="the recipe was written for"):
        LlamaSize.of(Language(folder=folder, shape=shape))
    (folder / "config.json").write_text("{}")
    with pytest.raises(BundleError, match="does not tell a Llama's shape"):
        LlamaSize.of(Language(folder=folder))
    assert LlamaSize.of(Language(folder=tmp_path / "nowhere")) is None


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of stages for a tiny tower and a tiny language model, with photos."""
    name, weights = tiny_tower(tmp_path, "ViT-B-32")
    tiny_llama(tmp_path / "llama")
    monkeypatch.setenv("LLAMA_VID_DATA", str(tiny_photos(tmp_path / "data")))
    path = tmp_path / "tiny.yaml"
    path.write_text(
        f"stage: sequence\nrecipes: [prepare, head, labels, align, export]\nout: {tmp_path / 'runs'}\n"
        f"cache: {tmp_path / 'cache'}\ntower: {{name: {name}, weights: {weights}}}\n"
        f"language: {{folder: {tmp_path / 'llama'}}}\nchanges:\n  export: {{bundle: {tmp_path / 'bundle'}}}\n"
        "  align: {" + ", ".join(KEYS.split("\n")[:-1]) + "}\n"
    )
    return path


def stages(plan: Plan) -> dict[str, Any]:
    return {stage.name: stage for stage in plan.stages}


def test_a_plan_tells_what_is_left_and_what_it_takes(tiny: Path) -> None:
    plan = plan_recipe(str(tiny))
    assert plan.data == {"training photos": 8, "dev photos": 4, "photos without captions": 3, "captions": 60}
    assert plan.problems == []
    prepare, head, align = (stages(plan)[name] for name in ("prepare", "head", "align"))
    assert prepare.does == "tiny-ViT-B-32 over 39 of 39 views of photos"
    assert prepare.disk == 39 * 49 * 64 * 2
    assert 0 < prepare.seconds < 60
    assert "measured just now" in prepare.how
    assert head.finished
    assert align.seconds == 10 + 5 + 90, "compiling is not counted among the recipe's seconds"
    assert align.memory > 16 * compressor_parameters(49, 64, 24, 48)
    assert json.loads(json.dumps(plan.to_json()))["seconds"] == pytest.approx(plan.seconds)
    assert plan.lines()[0].startswith(f"plan of {tiny} on ")
    assert not (tiny.parent / "cache").exists(), "planning changes nothing"


def test_what_is_finished_is_seen(tiny: Path) -> None:
    cache, runs = tiny.parent / "cache", tiny.parent / "runs"
    cache.mkdir()
    runs.mkdir()
    for name, rows in (("flickr8k-train", 32), ("flickr8k-dev", 4), ("coco-unlabelled", 1)):
        np.save(cache / f"{name}.npy", np.zeros(1))
        (cache / f"{name}.done").write_text(str(rows))
    torch.save({"warm": 5.0, "elapsed": 4.0}, runs / "align.pt")
    plan = stages(plan_recipe(str(tiny)))
    assert plan["prepare"].does.endswith("over 2 of 39 views of photos")
    assert plan["prepare"].disk == 0
    assert (plan["align"].seconds, plan["align"].finished) == (6 + 90, False)
    (cache / "coco-unlabelled.done").write_text("3")
    torch.save({"warm": 5.0, "elapsed": 10.0}, runs / "align.pt")
    plan = stages(plan_recipe(str(tiny)))
    assert plan["prepare"].finished
    assert plan["align"].finished
    assert plan["align"].seconds == 0


def test_what_cannot_run_is_refused_before_anything_does(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tiny.read_text()
    tiny.write_text(text.replace("/llama}", "/nowhere}"))
    with pytest.raises(ConfigError, match=r"the language model's folder .*nowhere is not here"):
        run_recipe(str(tiny))
    assert "cannot run: the language model's folder" in capsys.readouterr().err
    assert not (tiny.parent / "cache").exists()
    tiny.write_text(text)
    monkeypatch.setattr("training.planning.free_bytes", lambda: 1000)
    monkeypatch.setattr("training.plan.free_bytes", lambda: 1000)
    with pytest.raises(ConfigError, match=r"the language model llama needs .* GB of memory"):
        run_recipe(str(tiny))
    plan = plan_recipe(str(tiny))
    assert any("needs about" in warning and "0.0 GB are free" in warning for warning in plan.warnings)
    (tiny.parent / "tiny-ViT-B-32.safetensors").unlink()
    plan = plan_recipe(str(tiny))
    assert any("the weights of tiny-ViT-B-32" in problem for problem in plan.problems)
    assert stages(plan)["prepare"].seconds > 0, "planned with random weights"


def test_missing_data_stop_a_run(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_VID_DATA", str(tiny.parent / "nothing"))
    plan = plan_recipe(str(tiny))
    assert plan.data == {}
    assert "training data not found" in plan.problems[0]


def test_the_command_prints_the_plan_and_nothing_else(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(str(tiny), dry_run=True)
    assert any(line.startswith("  in all: ") for line in capsys.readouterr().out.splitlines())
    train(str(tiny), dry_run=True, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert [stage["stage"] for stage in printed["stages"]] == ["prepare", "head", "labels", "align", "export"]
    assert not (tiny.parent / "runs").exists()


def test_too_few_steps_are_a_warning(tiny: Path) -> None:
    tiny.write_text(tiny.read_text().replace("seconds: 10,", "seconds: 0.001,"))
    assert any("too few to learn" in warning for warning in plan_recipe(str(tiny)).warnings)
