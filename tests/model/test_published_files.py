"""The files of published checkpoints: layouts, conversion, what is missing, odd, hostile or too large."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from llama_vid import LLaMAVID, published_plan, published_weights
from llama_vid import published_layout as layout
from llama_vid.errors import BundleError
from llama_vid.hub import fetched, hub_id
from llama_vid.published import load_published
from llama_vid.published_config import PublishedConfig, is_published
from llama_vid.published_parts import Filling
from llama_vid.published_plan import fitting_context, plan
from llama_vid.tokenizer.llamavid_compressor import FrameTokens, GuidedCompressor, GuidedEncoded
from llama_vid.tokenizer.llamavid_qformer import QFormerShape
from llama_vid.tokenizer.llamavid_vision import EvaTower, VisionShape
from tests.model import published_reference as reference
from tests.model.published_tiny import EYES, SIDE, tiny_weights, write_checkpoint

CPU = torch.device("cpu")
Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def weights() -> Weights:
    return tiny_weights(seed=1)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def parts(folder: Path, dtype: torch.dtype = torch.float32) -> tuple[PublishedConfig, Filling]:
    config = PublishedConfig.of(folder)
    return config, Filling(folder, plan(folder, config), CPU, dtype)


def test_every_key_is_used_or_listed_as_dropped(tmp_path: Path, weights: Weights) -> None:
    folder = write_checkpoint(tmp_path / "vid", weights)
    found = plan(folder, PublishedConfig.of(folder))
    used = {*found.vision, *found.tokens, *found.language}
    values = {key.replace("q_bias", "v_bias") for key in used if key.endswith("q_bias")}
    dropped = {key for key in weights if key.endswith(("inv_freq", "position_ids"))}
    assert dropped
    assert values
    assert used | values | dropped == set(weights)
    assert not dropped & used


def test_full_size_modules_have_the_published_shapes() -> None:
    """What `published_layout.py` lists, against transformers' classes at the size of the 7B checkpoint (no memory)."""
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device("meta"):
        modules = {
            layout.TOWER: EvaTower(VisionShape()),
            layout.TOKENS: FrameTokens(QFormerShape(), 4096, 1),
            layout.LANGUAGE: LlamaForCausalLM(LlamaConfig()),
        }
    keys = {
        layout.TOWER: dict(layout.vision_keys(39)),
        layout.TOKENS: dict(layout.token_keys(12)),
        layout.LANGUAGE: dict(layout.language_keys(32)),
    }
    shapes: dict[str, list[int]] = {}
    total = 0
    for part, module in modules.items():
        ours = dict(module.named_parameters())
        assert set(ours) == set(keys[part].values())
        shapes |= {key: list(ours[name].shape) for key, name in keys[part].items()}
        total += sum(value.numel() for value in ours.values())
    bert = "model.vlm_att_encoder.bert."
    assert total == pytest.approx(7.94e9, rel=1e-3)
    assert shapes["model.embed_tokens.weight"] == shapes["lm_head.weight"] == [32000, 4096]
    assert shapes["model.layers.31.mlp.down_proj.weight"] == [4096, 11008]
    assert shapes["model.mm_projector.0.weight"] == [4096, 1408]
    assert shapes["model.vlm_att_query"] == [1, 32, 768]
    assert shapes["model.vlm_att_projector.weight"] == [1408, 768]
    assert shapes["model.vlm_att_val_projector.weight"] == [4096, 1408]
    assert shapes[f"{bert}embeddings.word_embeddings.weight"] == [30523, 768]
    assert shapes[f"{bert}encoder.layer.10.crossattention.self.key.weight"] == [768, 1408]
    assert f"{bert}encoder.layer.11.crossattention.self.key.weight" not in shapes
    assert shapes[f"{EYES}pos_embed"] == [1, 257, 1408]
    assert shapes[f"{EYES}patch_embed.proj.weight"] == [1408, 3, 14, 14]
    assert shapes[f"{EYES}blocks.38.mlp.fc1.weight"] == [6144, 1408]
    assert shapes[f"{EYES}blocks.38.attn.q_bias"] == [4224], "joined with the values' part"


def test_unexpected_missing_and_misshapen_weights_are_named(
    tmp_path: Path, weights: Weights, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_checkpoint(tmp_path / "odd", weights | {"model.surprise.weight": torch.zeros(2)})
    plan(folder, PublishedConfig.of(folder))
    assert "model.surprise.weight" in caplog.text
    lacking = {key: value for key, value in weights.items() if key != "model.vlm_att_ln.weight"}
    with pytest.raises(BundleError, match=r"lacks 1 weights .* such as model\.vlm_att_ln\.weight"):
        parts(write_checkpoint(tmp_path / "lacking", lacking))
    config, filling = parts(write_checkpoint(tmp_path / "other", weights, hidden_size=32))
    with pytest.raises(BundleError, match=r"model\.vlm_att_val_projector\.weight is \[64, 176\].* \[32, 176\]"):
        filling.tokens(config)


@pytest.mark.parametrize(("pooling", "count"), [("mean", 2), ("grid:2", 5), (None, 17)])
def test_content_is_pooled_as_configured(tmp_path: Path, weights: Weights, pooling: str | None, count: int) -> None:
    config, filling = parts(write_checkpoint(tmp_path / "vid", weights, compress_type=pooling))
    tokens = filling.tokens(config).eval()
    x = torch.randn(2, SIDE * SIDE + 1, 176, generator=torch.Generator().manual_seed(2))
    ids = torch.tensor([101, 2054, 2003, 2009, 102])
    wanted = reference.frame_tokens(weights, x, ids, pooling)
    torch.testing.assert_close(tokens(x, ids), wanted, rtol=1e-5, atol=1e-5)
    compressor = GuidedCompressor(tokens, patches=SIDE * SIDE + 1, channels=176, standing=ids)
    assert compressor.per_frame == wanted.shape[1] == count
    frames = GuidedEncoded(torch.randn(2, 81, 8), torch.randn(2, 4), torch.zeros(2, 52, 52), x)
    evidence = compressor.alone(frames)
    rows = [torch.cat([pair.context[None], pair.motion.reshape(-1, 64)]) for pair in evidence]
    torch.testing.assert_close(torch.stack(rows), wanted, rtol=1e-5, atol=1e-5)
    _, pairs = compressor.run(compressor.begin(), frames)
    mean = reference.frame_tokens(weights, x, ids, "mean")
    held = torch.stack([torch.stack([pair.context, pair.motion]) for pair in pairs])
    torch.testing.assert_close(held, mean, rtol=1e-5, atol=1e-5)


def test_another_towers_features_are_refused(tmp_path: Path, weights: Weights) -> None:
    config, filling = parts(write_checkpoint(tmp_path / "vid", weights))
    compressor = GuidedCompressor(
        filling.tokens(config).eval(), patches=SIDE * SIDE + 1, channels=176, standing=torch.tensor([101, 102])
    )
    frames = GuidedEncoded(torch.zeros(1, 81, 8), torch.zeros(1, 4), torch.zeros(1, 52, 52), torch.zeros(1, 5, 176))
    with pytest.raises(BundleError, match="17×176 features"):
        compressor.run(compressor.begin(), frames)


def test_long_video_positions_are_divided_by_sixteen(tmp_path: Path, weights: Weights) -> None:
    scaling = {"type": "linear", "factor": 16.0}
    config, filling = parts(write_checkpoint(tmp_path / "long", weights, rope_scaling=scaling))
    assert config.context == 65_536
    language = filling.language(config, 8192)
    assert language.context == 8192
    x = language.embed([1, *language.tokenize("the man is in the tent. " * 4)])
    found = language.logits(language.forward(x)[-1])
    torch.testing.assert_close(found, reference.next_scores(weights, x, factor=16), rtol=1e-5, atol=1e-5)
    plain = reference.next_scores(weights, x)
    assert (found - plain).abs().max() > 1e-3


def test_tower_of_its_own_file_with_all_that_it_holds_besides(
    tmp_path: Path, weights: Weights, caplog: pytest.LogCaptureFixture
) -> None:
    small = {key: value for key, value in weights.items() if not key.startswith(EYES)}
    folder = write_checkpoint(tmp_path / "vid", small, image_processor="./processor/clip-patch14-056")
    with pytest.raises(BundleError, match=r"has no image tower: .* nor the file eva_vit_g\.pth"):
        parts(folder)
    tower = {key.removeprefix(EYES): value for key, value in weights.items() if key.startswith(EYES)}
    first = {key: value for key, value in tower.items() if key.startswith("blocks.0.")}
    layers = {key.replace("blocks.0.", f"blocks.{n}."): value for n in range(40) for key, value in first.items()}
    besides = {"norm.weight": torch.zeros(176), "norm.bias": torch.zeros(176), "head.weight": torch.zeros(2, 176)}
    torch.save(tower | layers | besides, folder / "eva_vit_g.pth")
    found = plan(folder, PublishedConfig.of(folder))
    assert found.own_tower
    assert sum(key.endswith("attn.qkv.weight") for key in found.vision) == 39, "LLaMA-VID leaves the last layer out"
    assert not caplog.text, "the rest is known and not used"


def test_positions_are_stretched_for_larger_pictures(tmp_path: Path, weights: Weights) -> None:
    small = {key: value for key, value in weights.items() if not key.startswith(EYES)}
    folder = write_checkpoint(tmp_path / "vid", small, image_processor="./processor/clip-patch14-112")
    tower = {key.removeprefix(EYES): value for key, value in weights.items() if key.startswith(EYES)}
    torch.save(tower, folder / "eva_vit_g.pth")
    config, filling = parts(folder)
    vision = filling.vision(config).eval()
    assert vision.shape.size == 112
    grown = dict(weights)
    square = weights[f"{EYES}pos_embed"][:, 1:].unflatten(1, (SIDE, SIDE)).permute(0, 3, 1, 2)
    square = torch.nn.functional.interpolate(square, (8, 8), mode="bicubic", align_corners=False)
    grown[f"{EYES}pos_embed"] = torch.cat(
        [weights[f"{EYES}pos_embed"][:, :1], square.permute(0, 2, 3, 1).flatten(1, 2)], 1
    )
    pixels = torch.randint(0, 256, (1, 3, 112, 112), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(vision(pixels), reference.features(grown, pixels), rtol=1e-5, atol=1e-5)


def test_bin_is_converted_once_and_safetensors_are_read_where_they_lie(
    tmp_path: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_checkpoint(tmp_path / "vid", weights)
    monkeypatch.setattr(published_weights, "PART", 4 << 20)
    first = published_weights.checkpoint_weights(folder)
    copies = set(first.files.values())
    assert len(copies) > 1
    assert all(path.suffix == ".safetensors" and tmp_path / "cache" in path.parents for path in copies)
    assert first.shapes == {key: tuple(value.shape) for key, value in weights.items()}
    assert all(torch.equal(value, weights[key]) for key, value in first.tensors(weights))

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("read a second time")

    monkeypatch.setattr(torch, "load", never)
    assert published_weights.checkpoint_weights(folder).files == first.files
    plain = tmp_path / "plain"
    plain.mkdir()
    save_file(weights, plain / "model.safetensors")
    assert set(published_weights.checkpoint_weights(plain).files.values()) == {plain / "model.safetensors"}


class Hostile:
    """What a forged checkpoint may hold: a call."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("owned",)


def test_a_pickle_that_would_run_is_refused(tmp_path: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_checkpoint(tmp_path / "vid", {"lm_head.weight": weights["lm_head.weight"]}, shards=1)
    torch.save({"lm_head.weight": Hostile()}, folder / "pytorch_model-00001-of-00001.bin")
    with pytest.raises(BundleError, match="holds more than tensors"):
        parts(folder)
    assert not (tmp_path / "owned").exists()
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_damaged_and_missing_files_are_named(tmp_path: Path, weights: Weights) -> None:
    few = {"lm_head.weight": weights["lm_head.weight"], "model.norm.weight": weights["model.norm.weight"]}
    folder = write_checkpoint(tmp_path / "vid", few)
    shard = folder / "pytorch_model-00002-of-00002.bin"
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(BundleError, match=r"00002-of-00002\.bin cannot be read .*fetch it again"):
        parts(folder)
    shard.unlink()
    with pytest.raises(BundleError, match=r"lacks pytorch_model-00002-of-00002\.bin"):
        parts(folder)
    (folder / "pytorch_model.bin.index.json").write_text("[]")
    with pytest.raises(BundleError, match=r"index\.json cannot be read"):
        parts(folder)
    for path in folder.glob("pytorch_model*"):
        path.unlink()
    with pytest.raises(BundleError, match="holds no weights"):
        parts(folder)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"bert_type": "raw_bert"}, "bert_type is 'raw_bert'"),
        ({"mm_projector_type": "linear"}, "mm_projector_type is 'linear'"),
        ({"mm_use_im_start_end": True}, "mm_use_im_start_end is on"),
        ({"compress_type": "max"}, "compress_type is 'max'"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2}}, "rope_scaling is"),
        ({"hidden_size": None}, "does not say hidden_size"),
    ],
)
def test_other_configurations_are_refused_by_name(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    folder = write_checkpoint(tmp_path / "vid", {"x": torch.zeros(1)}, shards=1, **changes)
    with pytest.raises(BundleError, match=match):
        PublishedConfig.of(folder)


def test_the_layout_is_told_from_others(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "vid", {"x": torch.zeros(1)}, shards=1)
    assert is_published(folder)
    told = json.loads((folder / "config.json").read_text())
    del told["bert_type"]
    (folder / "config.json").write_text(json.dumps(told))
    with pytest.raises(BundleError, match=r"not that of a LLaMA-VID checkpoint .*no bert_type"):
        LLaMAVID.from_pretrained(str(folder), device="cpu")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    assert not is_published(folder)
    (folder / "config.json").write_text("{")
    assert not is_published(folder)


def test_memory_decides_how_much_is_read_at_once(
    tmp_path: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_checkpoint(tmp_path / "vid", weights)
    config = PublishedConfig.of(folder)
    planned = plan(folder, config)
    needed = int(planned.numbers * 4 * 1.1)
    a_token = 2 * 2 * 64 * 4  # keys and values, layers, width, bytes

    def fits(free: int, wanted: int | None = None) -> int:
        monkeypatch.setattr(published_plan, "free_bytes", lambda: free)
        return fitting_context(folder, config, planned, torch.float32, CPU, wanted)

    assert fits(1 << 40) == 4096
    assert fits(1 << 40, 2048) == 2048
    caplog.clear()
    assert fits(needed + int(2 * 2048 * a_token / 0.8) + 1000) == 2048
    assert "reads 2,048 tokens at once here, not 4,096" in caplog.text
    with pytest.raises(BundleError, match=r"vid needs .* GB are free on cpu\. Take a machine with more memory"):
        fits(needed + 1000)
    with pytest.raises(BundleError, match="needs"):
        load_published(folder, device="cpu", dtype="fp32")


def test_hub_ids_and_the_alias(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert hub_id("mini") is None
    assert hub_id(str(tmp_path)) is None
    assert hub_id("YanweiLi/llama-vid-13b-full-336") == "YanweiLi/llama-vid-13b-full-336"
    assert hub_id("jia-lab/llama-vid-7b") == "YanweiLi/llama-vid-7b-full-224-video-fps-1"
    from huggingface_hub import constants

    with socket.socket() as taken:  # bound, not listening: whoever connects is refused at once
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        with pytest.raises(BundleError, match=r"hub cannot be reached.*hf download YanweiLi/\S+ --local-dir"):
            fetched("jia-lab/llama-vid-7b")
        with pytest.raises(BundleError, match=r"there is no folder 'models/nothing-here'"):
            LLaMAVID.from_pretrained("models/nothing-here")
