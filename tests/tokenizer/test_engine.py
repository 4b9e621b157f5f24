"""The fused engine against the modules it replaces: on a small EfficientNet with random weights, on `mini`'s own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from llama_vid.errors import BundleError
from llama_vid.tokenizer import engine as engines
from llama_vid.tokenizer.engine import EagerEngine, best_engine
from llama_vid.tokenizer.engine_onednn import PIECES, FusedEngine, UnfitTrunk
from llama_vid.tokenizer.tower import EFFICIENTNET, ImageTower, load_trunk, mini_clip

SIZE = 68  # maps of odd and even sizes on the way down: TensorFlow's padding differs between them


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def lite(name: str = "tf_efficientnet_lite0", seed: int = 0) -> Any:
    """A trunk whose normalisation does something: with fresh statistics folding it in could not fail."""
    torch.manual_seed(seed)
    trunk = timm.create_model(name, pretrained=False, num_classes=0, global_pool="").eval().requires_grad_(False)
    for module in trunk.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.uniform_(0.6, 1.4)
            module.bias.normal_(0, 0.2)
    return trunk


def pictures(count: int, size: int = SIZE, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    coarse = torch.randn(count, 3, size // 8, size // 8)
    return nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(-1, 1)


def likeness(one: Tensor, other: Tensor) -> float:
    """Mean cosine of the patches that have a feature at all."""
    a, b = one.flatten(2), other.flatten(2)
    alive = b.norm(dim=1) > 0
    assert alive.float().mean() > 0.5
    return float(nn.functional.cosine_similarity(a, b, dim=1)[alive].mean())


@pytest.mark.parametrize("size", [64, 68, 75, 260])
def test_in_float32_it_is_the_modules(size: int) -> None:
    trunk = lite()
    fused, eager = FusedEngine(trunk, size=size), EagerEngine(trunk)
    x = pictures(3, size)
    torch.testing.assert_close(fused.forward(x), eager.forward(x), atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("count", range(1, 2 * PIECES[0] + 2))
def test_any_batch_is_what_its_frames_are(count: int) -> None:
    fused = FusedEngine(lite(), size=SIZE)
    x = pictures(count)
    together = fused.forward(x)
    assert together.shape[0] == count
    alone = torch.cat([fused.forward(x[i : i + 1]) for i in range(count)])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=1e-3)


def test_bfloat16_stays_close() -> None:
    trunk = lite()
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor does not compute in bf16")
    x = pictures(4)
    exact = EagerEngine(trunk).forward(x)
    fused = FusedEngine(trunk, size=SIZE, bfloat16=True).forward(x)
    assert fused.dtype is torch.float32
    assert likeness(fused, exact) > 0.99
    assert likeness(fused, exact) > likeness(EagerEngine(trunk, bfloat16=True).forward(x), exact)


def test_the_callers_pixels_stay_as_they_are() -> None:
    fused = FusedEngine(lite(), size=SIZE)
    for x in (pictures(2), pictures(2).contiguous(memory_format=torch.channels_last)):
        before = x.clone()
        fused.forward(x)
        assert torch.equal(x, before)


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenetv3_small_050", "resnet10t"])
def test_other_trunks_run_eagerly(name: str) -> None:
    trunk = timm.create_model(name, pretrained=False, num_classes=0, global_pool="").eval()
    with pytest.raises(UnfitTrunk):
        FusedEngine(trunk, size=64)
    assert isinstance(best_engine(trunk, size=64), EagerEngine)


def test_where_the_operators_fail_the_modules_run(monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = lite()

    class Without:
        """A torch whose oneDNN has no fused convolution."""

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name)

    assert isinstance(best_engine(trunk, size=SIZE), FusedEngine)
    with monkeypatch.context() as patch:
        patch.setattr(torch.ops, "mkldnn", Without())
        found = best_engine(trunk, size=SIZE)
    assert isinstance(found, EagerEngine)
    x = pictures(1)
    assert torch.equal(found.forward(x), EagerEngine(trunk).forward(x))


def test_an_engine_that_disagrees_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    other = lite(seed=5)

    class Wrong(FusedEngine):
        def __init__(self, trunk: nn.Module, *, size: int, bfloat16: bool = False) -> None:
            super().__init__(other, size=size, bfloat16=bfloat16)

    monkeypatch.setattr(engines, "FusedEngine", Wrong)
    assert isinstance(best_engine(lite(), size=SIZE), EagerEngine)


def test_several_threads_share_an_engine() -> None:
    fused = FusedEngine(lite(), size=SIZE)
    batches = [pictures(count, seed=count) for count in (1, 2, 3, 5)]
    wanted = [fused.forward(x) for x in batches]
    got: dict[int, list[Tensor]] = {}

    def run(number: int) -> None:
        with torch.inference_mode():
            got[number] = [fused.forward(batches[number]) for _ in range(5)]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, results in got.items():
        for result in results:
            torch.testing.assert_close(result, wanted[number], atol=1e-4, rtol=1e-4)
    assert len(got) == len(batches)


@pytest.mark.model
def test_the_tower_of_mini_uses_it_and_agrees(mini_trunk: Any) -> None:
    x = pictures(5, 260)
    exact = EagerEngine(mini_trunk).forward(x)
    for bfloat16, bound in ((False, 0.99999), (True, 0.995)):
        found = best_engine(mini_trunk, size=260, bfloat16=bfloat16)
        assert isinstance(found, FusedEngine)
        assert likeness(found.forward(x), exact) > bound


@pytest.mark.model
def test_a_tower_makes_a_new_engine_when_its_precision_changes(mini_trunk: Any) -> None:
    clip: Any = mini_clip(text=False)
    half = (0.5, 0.5, 0.5)
    tower = ImageTower(clip, None, size=260, mean=half, std=half)
    first = tower.engine
    assert tower.engine is first
    tower.trunk_bfloat16 = True
    assert tower.engine is not first
    second = tower.engine
    tower.to(torch.float32)
    assert tower.engine is not second


@pytest.fixture(scope="module")
def mini_trunk() -> Any:
    try:
        path = EFFICIENTNET.path()
    except BundleError as problem:
        pytest.skip(str(problem))
    trunk = timm.create_model("tf_efficientnet_lite2", pretrained=False, num_classes=0, global_pool="")
    trunk = trunk.eval().requires_grad_(False)
    load_trunk(trunk, path)
    return trunk
