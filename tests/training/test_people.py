"""The people probe is taught by captions and mosaics, and written into a bundle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from llama_vid.bundle import MANIFEST, PEOPLE
from llama_vid.errors import ConfigError
from llama_vid.tokenizer.parts import sha256_of
from llama_vid.tokenizer.people import WARY, PeopleProbe
from training.bundle_part import put_part
from training.people import NAMED, Examples, _mosaic, cells_of, probe_of, sorted_photos


def drawn(count: int, patches: int = 81, channels: int = 12, seed: int = 0) -> Examples:
    """Features in which people lift one channel of one patch."""
    made = torch.Generator().manual_seed(seed)
    photos, mosaics = (torch.randn(count, patches, channels, generator=made) for _ in range(2))
    people = (torch.rand(count, generator=made) < 0.5).float()
    cells = (torch.rand(count, 9, generator=made) < 0.3).float()
    photos[people > 0, 17, 3] += 8
    place = torch.arange(81).view(3, 3, 3, 3).transpose(1, 2).reshape(9, 9)[:, 4]  # each cell's middle
    for row, truth in zip(mosaics, cells, strict=True):
        row[place[truth > 0], 3] += 8
    return Examples(photos, people, mosaics, cells)


def test_the_probe_finds_people_wherever_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    tensors = probe_of(drawn(300), epochs=20)
    assert "held out, photos" in capsys.readouterr().out
    probe, new = PeopleProbe(tensors), drawn(200, seed=1)
    right = ((probe.odds(new.photos) + WARY > 0) == (new.people > 0)).float().mean()
    assert right > 0.9
    said = probe.scaled(cells_of(probe.each(new.mosaics)))
    assert ((said > 0) == (new.cells > 0)).float().mean() > 0.9


def test_cells_are_the_blocks_of_the_map() -> None:
    each = torch.full((1, 81), -9.0)
    each[0, 4 * 9 + 7] = 9.0  # row 4, column 7: the middle row's last cell
    assert int(cells_of(each)[0].argmax()) == 5


@pytest.mark.parametrize(
    ("caption", "names"),
    [
        ("A man rides .", True),
        ("Two dogs run in the snow .", False),
        ("A snowboarder jumps .", True),
        ("A mandolin .", False),
    ],
)
def test_which_captions_name_people(caption: str, names: bool) -> None:
    assert (NAMED.search(caption) is not None) == names


def test_only_training_photos_are_read_and_too_few_are_told(tmp_path: Path) -> None:
    rows = ["image\tsplit\tcaption_no\tcaption"]
    for number, (split, text) in enumerate(
        [("train", "A man"), ("train", "A dog"), ("test", "A boy"), ("dev", "A hill")]
    ):
        rows += [f"{number}.jpg\t{split}\t{k}\t{text} ." for k in range(5)]
    (tmp_path / "captions.tsv").write_text("\n".join(rows) + "\n")
    with pytest.raises(ConfigError, match=r"people \(1\) or without \(1\)"):
        sorted_photos(tmp_path)
    rows += [f"{number}.jpg\ttrain\t{k}\tA {what} ." for number, what in ((8, "girl"), (9, "cat")) for k in range(5)]
    (tmp_path / "captions.tsv").write_text("\n".join(rows) + "\n")
    some, none = sorted_photos(tmp_path)
    assert [path.name for path in some] == ["0.jpg", "8.jpg"]
    assert [path.name for path in none] == ["1.jpg", "9.jpg"]


def test_a_mosaic_has_its_photos_in_reading_order(tmp_path: Path) -> None:
    paths = []
    for shade in range(9):
        paths.append(tmp_path / f"{shade}.png")
        Image.new("RGB", (20, 10), (shade * 20,) * 3).save(paths[-1])
    found = np.asarray(_mosaic(paths))
    assert found.shape[0] == found.shape[1]
    step = found.shape[0] // 3
    assert [int(found[(k // 3) * step + 5, (k % 3) * step + 5, 0]) for k in range(9)] == [k * 20 for k in range(9)]


def test_the_manifest_names_what_was_written(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"format": 1, "files": {"README.md": "0"}}))
    tensors = probe_of(drawn(60), epochs=1)
    put_part(tensors, tmp_path, PEOPLE)
    assert json.loads((tmp_path / MANIFEST).read_text())["files"][PEOPLE] == sha256_of(tmp_path / PEOPLE)
    assert load_file(tmp_path / PEOPLE).keys() == tensors.keys()
