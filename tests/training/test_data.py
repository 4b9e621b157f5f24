"""Photos, captions and caches: read in order, mistakes named by file and line, interrupted computations go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from llama_vid.errors import ConfigError, LlamaVidError, SourceError
from training.features import load_photo, view
from training.flickr8k import photos_in, photos_of, read_captions
from training.prepare import require
from training.progress import RunLog, plot_loss, read_log
from training.rowcache import filled

HEADER = "image\tsplit\tcaption_no\tcaption\n"


def written(folder: Path, lines: str) -> Path:
    (folder / "photos").mkdir(parents=True)
    (folder / "captions.tsv").write_text(HEADER + lines)
    for name in "ab":
        (folder / "photos" / f"{name}.jpg").write_bytes(b"")
    return folder


def test_photos_by_name_with_captions_by_number(tmp_path: Path) -> None:
    folder = written(
        tmp_path / "f", 'b.jpg\ttrain\t1\ttwo\nb.jpg\ttrain\t0\t"one" o\'clock\na.jpg\ttrain\t0\tx\nc.jpg\tdev\t0\ty\n'
    )
    captions = read_captions(folder)
    assert [caption.row for caption in captions] == [0, 1, 2, 3]
    first, second = photos_of(captions, "train", folder)
    assert (first.path.name, second.path.name) == ("a.jpg", "b.jpg")
    assert second.texts == ['"one" o\'clock', "two"]
    with pytest.raises(ConfigError, match=r"c.jpg of captions.tsv is missing"):
        photos_of(captions, "dev", folder)
    with pytest.raises(ConfigError, match="no photos of the split 'test'"):
        photos_of(captions, "test", folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + "a.jpg\ttrain\t0\tfine\na.jpg\ttrain\tone\tnot\n", r"captions.tsv:3: needs"),
        (HEADER + "a.jpg\ttrain\t0\t \n", r"captions.tsv:2: needs"),
        (HEADER + "a.jpg\ttrain\n", r"captions.tsv:2: needs"),
        ("image\tsplit\tcaption\n", r"captions.tsv:1: the column 'caption_no' is missing"),
        (HEADER, "holds no captions"),
        ("", r"captions.tsv:1: the column 'image' is missing"),
    ],
)
def test_broken_captions_name_their_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "captions.tsv").write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_captions(tmp_path)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"captions\.tsv cannot be read"):
        read_captions(tmp_path)
    with pytest.raises(ConfigError, match="holds no photos"):
        photos_in(tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(SourceError, match="missing or damaged"):
        load_photo(tmp_path / "broken.jpg")


def test_views_are_the_photo_its_mirror_and_crops() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    rng = np.random.default_rng(1)
    assert np.array_equal(view(photo, 0, rng), photo)
    assert np.array_equal(view(photo, 1, rng), photo[:, ::-1])
    for number in range(2, 12):
        crop = view(photo, number, rng)
        assert 0.6 <= crop.shape[0] * crop.shape[1] / (40 * 60) <= 1.0


def test_an_interrupted_cache_goes_on(tmp_path: Path) -> None:
    out, asked = tmp_path / "cache" / "rows.npy", list[int]()

    def rows(start: int, stop: int, broken: bool = False) -> npt.NDArray[Any]:
        if broken and start >= 4:
            raise KeyboardInterrupt
        asked.extend(range(start, stop))
        return np.arange(start, stop, dtype=np.float32)[:, None].repeat(3, 1)

    with pytest.raises(KeyboardInterrupt):
        filled(out, (2, 5, 3), np.float32, lambda a, b: rows(a, b, True), batch=2, leading=2)
    assert asked == [0, 1, 2, 3]
    found = filled(out, (2, 5, 3), np.float32, rows, batch=2, leading=2)
    assert asked == list(range(10))
    assert found.reshape(10, 3)[:, 0].tolist() == list(range(10))
    filled(out, (2, 5, 3), np.float32, rows, batch=2, leading=2)
    assert len(asked) == 10, "finished rows are not computed again"
    with pytest.raises(ConfigError, match="the data have changed; delete it"):
        filled(out, (2, 6, 3), np.float32, rows, batch=2, leading=2)


def test_a_cache_that_the_disk_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="GB free; make room"):
        filled(tmp_path / "rows.npy", (1 << 50,), np.float32, lambda a, b: np.zeros(b - a), batch=2)
    assert not (tmp_path / "rows.npy").exists()


def test_unfinished_features_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 1, 1), np.float16))
    assert require(tmp_path / "x.npy")
    (tmp_path / "x.done").write_text("4")
    with pytest.raises(LlamaVidError, match=r"not finished \(4 of 6 rows\)"):
        require(tmp_path / "x.npy")


def test_a_run_is_logged_and_plotted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with RunLog(tmp_path / "runs" / "x.jsonl", "x", along="seconds", total=2) as log:
        log({"seconds": 1, "loss": 2.5})
        log({"seconds": 2, "loss": 2.0})
    out, err = capfd.readouterr()
    assert out == "", "stdout is for the report"
    assert json.loads(err.splitlines()[-1].removeprefix("x: ")) == {"seconds": 2, "loss": 2.0}
    with (tmp_path / "runs" / "x.jsonl").open("a") as file:
        file.write('{"seconds": 3, "lo')
    entries = read_log(tmp_path / "runs" / "x.jsonl")
    assert [entry["loss"] for entry in entries] == [2.5, 2.0]
    plot = plot_loss({"x": [(1, 2.5), (2, 2.0)], "y": []}, tmp_path / "plots" / "x.png", title="x", along="seconds")
    assert plot.read_bytes().startswith(b"\x89PNG")
