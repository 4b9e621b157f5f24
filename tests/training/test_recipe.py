"""Recipes: the ones that come with the program are sound, mistakes are named with their file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from llama_vid.errors import ConfigError
from training.recipe import RECIPES, Align, Head, Language, Sequence, Tower, load_recipe, parts_of
from training.run import run_recipe


def test_all_recipes_that_come_along_are_sound() -> None:
    names = {"all", "prepare", "head", "labels", "align", "render", "more", "full", "export"}
    others = {path.stem for path in RECIPES.glob("*.yaml")} - names
    assert others >= {"vit-b-32_llama-3.2-1b", "vit-l-14_llama-2-7b"}
    for name in others:
        file, recipe = load_recipe(name)
        assert not isinstance(recipe, Sequence) or parts_of(recipe, file)
    found = {name: load_recipe(name)[1] for name in names}
    whole, head, align = found["all"], found["head"], found["align"]
    assert isinstance(whole, Sequence)
    assert set(whole.recipes) == names - {"all"}
    assert isinstance(head, Head)
    assert (head.epochs, head.batch, head.rate, head.decay) == (16, 900, 1.5e-3, 0.6)
    assert isinstance(align, Align)
    assert (align.seconds, align.warm_seconds, align.rank) == (3300, 240, 16)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stage: head\nseeds: [1]\nepohs: 3\n", r"own.yaml:3: epohs: unknown key \(did you mean epochs\?\)"),
        ("stage: head\nseeds: [1]\n", r"own.yaml: epochs: this key is missing"),
        ("stage: labels\nseeds: []\n", r"own.yaml:2: seeds: List should have at least 1 item"),
        ("stage: labels\nseeds:\n  - one\n", r"own.yaml:2: seeds.0: Input should be a valid integer"),
        ("stage: align\nrows: -1\n", r"own.yaml:2: rows: Input should be greater than 0"),
        ("stage: heat\n", r"own.yaml:1: stage: .*'heat'"),
        ("seeds: [1]\n", r"own.yaml: stage: "),
        ("stage: [\n", r"own.yaml:2: not valid YAML"),
        ("- head\n", r"own.yaml:1: a recipe is a list of keys"),
        ("", r"own.yaml:1: a recipe is a list of keys"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        run_recipe(str(tmp_path / "own.yaml"))


def test_unknown_names_and_files() -> None:
    with pytest.raises(ConfigError, match="no recipe 'aling'; did you mean align"):
        run_recipe("aling")
    with pytest.raises(ConfigError, match="known: align, all, export"):
        run_recipe("missing/file.yaml")


def test_missing_data_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_VID_DATA", str(tmp_path / "nowhere"))
    for recipe in ("prepare", "head", "all"):
        with pytest.raises(ConfigError, match=r"training data not found: .*nowhere.*set LLAMA_VID_DATA"):
            run_recipe(recipe)


def test_a_list_names_its_broken_part_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("stage: export\nseeds: [1]\nbundel: x\n")
    (tmp_path / "list.yaml").write_text("stage: sequence\nrecipes: [prepare, bad]\n")
    with pytest.raises(ConfigError, match=r"bad.yaml:3: bundel: unknown key \(did you mean bundle\?\)"):
        run_recipe(str(tmp_path / "list.yaml"))
    (tmp_path / "list.yaml").write_text("stage: sequence\nrecipes: [all]\n")
    with pytest.raises(ConfigError, match="all is a list of recipes itself"):
        run_recipe(str(tmp_path / "list.yaml"))


def test_a_list_changes_its_parts(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text(
        "stage: sequence\nrecipes: [prepare, align]\nout: there\nlanguage: {folder: models/seven}\n"
        "tower: {name: ViT-L-14, weights: l14.safetensors}\nchanges:\n  align: {rows: 2, seconds: 60}\n"
    )
    path, whole = load_recipe(str(tmp_path / "list.yaml"))
    assert isinstance(whole, Sequence)
    (_, _, prepare), (_, file, align) = parts_of(whole, path)
    assert isinstance(align, Align)
    assert (file.parent, align.rows, align.seconds, align.rank) == (RECIPES, 2, 60, 16)
    assert prepare.tower == align.tower == Tower(name="ViT-L-14", weights=Path("l14.safetensors"))
    assert prepare.language == align.language == Language(folder=Path("models/seven"))
    assert prepare.out == align.out == Path("there")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("changes:\n  align: {rowz: 2}\n", r"list.yaml: changes.align.rowz: unknown key \(did you mean rows\?\)"),
        ("changes:\n  align: {rows: none}\n", r"list.yaml: changes.align.rows: Input should be a valid integer"),
        ("changes:\n  head: {epochs: 2}\n", "list.yaml: changes: head is not one of this list's recipes"),
        ("tower: {name: ViT-B-32}\n", r"list.yaml:3: tower.weights: this key is missing"),
        ("tower: maxi\n", r"list.yaml:3: tower: Input should be 'mini'"),
        ("language: {folder: x, weigths: y}\n", r"list.yaml:3: language.weigths: unknown key"),
    ],
)
def test_mistakes_in_a_list_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.yaml").write_text("stage: sequence\nrecipes: [prepare, align]\n" + text)
    with pytest.raises(ConfigError, match=message):
        run_recipe(str(tmp_path / "list.yaml"))


def test_stages_say_what_must_run_before_them(tmp_path: Path) -> None:
    (tmp_path / "early.yaml").write_text(f"stage: export\nseeds: [1]\nbundle: x\nout: {tmp_path}\n")
    with pytest.raises(ConfigError, match=r"head-1\.pt is not there: .* run: llama-vid train head"):
        run_recipe(str(tmp_path / "early.yaml"))
