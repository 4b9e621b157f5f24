"""`llama-vid train all` on a handful of photos: with the real pretrained parts, from pictures to a working bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from llama_vid.bundle import load_bundle, read_manifest
from llama_vid.errors import BundleError, ConfigError
from llama_vid.llm.language import SMOLLM2
from llama_vid.tokenizer.tower import EFFICIENTNET, MINILM
from training.run import run_recipe

RECIPES = {
    "tiny": "stage: sequence\nrecipes: [prepare, head, labels, align, export]\nout: {runs}\ncache: {cache}\n",
    "head": "stage: head\nseeds: [5]\nepochs: 1\nbatch: 8\nrate: 1e-3\ndecay: 0.1\nsoft: 0.5\ndrop: 0.1\n",
    "labels": "stage: labels\nseeds: [5]\n",
    "align": (
        "stage: align\nseeds: [5]\nseconds: 0.5\nwarm_seconds: 0.2\nrows: 1\nlength: 160\nrank: 2\nwarm_batch: 4\n"
        "compressor_rate: 1e-4\nlora_rate: 1e-4\ncompiled: false\nreport_steps: 1\nwords: 50\n"
    ),
    "export": "stage: export\nseeds: [5]\nbundle: {bundle}\nphotos: 3\ncaptioned: 3\n",
}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve small photos with captions, their recipes, and LLAMA_VID_DATA; the recipes' folder."""
    try:
        for part in (EFFICIENTNET, MINILM, SMOLLM2):
            part.path()
    except BundleError as problem:
        pytest.skip(str(problem))
    rng = np.random.default_rng(0)
    lines = ["image\tsplit\tcaption_no\tcaption"]
    for folder, count in (("flickr8k/photos", 12), ("coco/unlabelled", 3)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for i in range(count):
            picture = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(picture).resize((64, 64)).save(tmp_path / "data" / folder / f"{i:02}.jpg")
    for i in range(12):
        split = "train" if i < 8 else "dev"
        told = (f"A dog number {i} runs in the snow .", "Two men sit on a bench .")
        lines += [f"{i:02}.jpg\t{split}\t{n}\t{told[n % 2]}" for n in range(5)]
    (tmp_path / "data" / "flickr8k" / "captions.tsv").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("LLAMA_VID_DATA", str(tmp_path / "data"))
    places = {"runs": tmp_path / "runs", "cache": tmp_path / "cache", "bundle": tmp_path / "tiny"}
    (tmp_path / "recipes").mkdir()
    for name, text in RECIPES.items():
        (tmp_path / "recipes" / f"{name}.yaml").write_text(text.format(**places))
    return tmp_path / "recipes"


@pytest.mark.model
@pytest.mark.slow
def test_from_photos_to_a_bundle(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report: Any = run_recipe(str(tiny / "tiny.yaml"))
    assert capfd.readouterr().out == "", "stdout is for the report"
    assert json.loads(json.dumps(report)) == report
    assert report["prepare"]["photos"] == {"flickr8k-train": 8, "flickr8k-dev": 4, "coco-unlabelled": 3}
    assert report["head"]["trained_now"] == [5]
    assert set(report["head"]["dev"]) == {"r@1", "r@5", "r@10"}
    assert report["align"]["steps"] >= 1
    for plot in (report["head"]["plot"], *report["align"]["plots"]):
        assert Path(plot).read_bytes().startswith(b"\x89PNG")
    runs = tiny.parent / "runs"
    assert (runs / "head.jsonl").is_file()
    assert all(json.loads(line) for line in (runs / "align.jsonl").read_text().splitlines())

    bundle = tiny.parent / "tiny"
    manifest = read_manifest(bundle)
    assert manifest["heads"] == ["head-1.safetensors"]
    assert "Flickr8k" in (bundle / "README.md").read_text()
    loaded = load_bundle(str(bundle), device="cpu")
    assert loaded.tower.width == 512
    assert loaded.compressor.config.out == loaded.language.width
    assert loaded.guide("a dog").shape == (512,)

    # What is finished is skipped; other options for a finished member are refused.
    again: Any = run_recipe(str(tiny / "tiny.yaml"))
    assert again["head"]["trained_now"] == []
    assert again["align"]["steps"] == report["align"]["steps"]
    text = (tiny / "head.yaml").read_text().replace("epochs: 1", "epochs: 2")
    (tiny / "head.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"head-5\.pt was trained with epochs 1, the recipe says 2"):
        run_recipe(str(tiny / "tiny.yaml"))
