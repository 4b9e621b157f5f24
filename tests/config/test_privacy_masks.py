"""`privacy_masks:` in the configuration: what is right, and what is said about what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from llama_vid.config import load_config
from llama_vid.errors import ConfigError
from llama_vid.settings_privacy import crossed, polygons


def written(folder: Path, masks: str) -> Path:
    file = folder / "llama-vid.yaml"
    file.write_text(f"cameras:\n  front:\n    url: 'webrtc:'\n    privacy_masks:\n{masks}")
    return file


def test_boxes_and_polygons(tmp_path: Path) -> None:
    file = written(tmp_path, "      - {box: [0, 0.5, 0.25, 1]}\n      - polygon: [[0.5, 0], [1, 0], [1, 0.5]]\n")
    camera = load_config(file).cameras["front"]
    assert camera.masked
    assert polygons(camera.privacy_masks) == (
        ((0.0, 0.5), (0.25, 0.5), (0.25, 1.0), (0.0, 1.0)),
        ((0.5, 0.0), (1.0, 0.0), (1.0, 0.5)),
    )


def test_none_is_not_masked(tmp_path: Path) -> None:
    file = tmp_path / "llama-vid.yaml"
    file.write_text("cameras: {front: {url: 'webrtc:'}}\n")
    assert not load_config(file).cameras["front"].masked


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ("{box: [0, 0, 1920, 1080]}", "divide pixels"),
        ("{box: [0.5, 0, 0.5, 1]}", "left must be less than its right"),
        ("{box: [0, 0, 1]}", "four numbers from 0 to 1"),
        ("{box: [0, 0, 1, yes]}", "is not a number"),
        ("{box: [0, 0, 1, .nan]}", "is not a number"),
        ("{polygon: [[0, 0], [1, 1]]}", "3 to 200 corners, not 2"),
        ("{polygon: [[0, 0], [1, 1], [1, 0], [0, 1]]}", "lines cross"),
        ("{polygon: [[0, 0], [1, 0], [0.5, 0]]}", "next to nothing"),
        ("{polygon: 3}", "its corners in order"),
        ("{}", "either a box or a polygon"),
        ("{box: [0, 0, 1, 1], polygon: [[0, 0], [1, 0], [1, 1]]}", "either a box or a polygon"),
        ("{bx: [0, 0, 1, 1]}", "did you mean 'box'?"),
        ("[0, 0, 1, 1]", "keys under it: box, polygon"),
    ],
)
def test_a_wrong_mask_is_named_with_its_line(tmp_path: Path, mask: str, said: str) -> None:
    file = written(tmp_path, f"      - {{box: [0, 0, 0.1, 0.1]}}\n      - {mask}\n")
    with pytest.raises(ConfigError) as wrong:
        load_config(file)
    assert str(wrong.value).startswith("llama-vid.yaml:6: ")
    assert said in str(wrong.value)


def test_crossing() -> None:
    assert not crossed([(0, 0), (1, 0), (1, 1), (0, 1)])
    assert not crossed([(0, 0), (1, 0), (0.5, 0.5), (1, 1), (0, 1)])  # bent in
    assert crossed([(0, 0), (1, 1), (1, 0), (0, 1)])
