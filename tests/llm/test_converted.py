from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import pytest

from llama_vid.errors import BundleError
from llama_vid.llm.converted import cache_folder, converted, intact, prepared
from llama_vid.llm.language import SMOLLM2, LanguageModel
from llama_vid.tokenizer.parts import Part


def write(folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 1000)


def test_a_folder_is_filled_once(tmp_path: Path) -> None:
    calls: list[Path] = []

    def counted(folder: Path) -> None:
        calls.append(folder)
        write(folder)

    folder = tmp_path / "deep" / "key"
    assert prepared(folder, counted) == folder
    assert prepared(folder, counted) == folder
    assert len(calls) == 1
    assert intact(folder)


@pytest.mark.parametrize("harm", ["flip", "cut", "missing", "manifest", "empty manifest", "half"])
def test_a_damaged_folder_is_made_anew(tmp_path: Path, harm: str) -> None:
    folder = prepared(tmp_path / "key", write)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    if harm == "flip":
        data[70_000] ^= 1
        weights.write_bytes(data)
    elif harm == "cut":
        weights.write_bytes(data[:-1])
    elif harm == "missing":
        weights.unlink()
    elif harm == "manifest":
        (folder / "manifest.json").write_text('{"config.json": [')
    elif harm == "empty manifest":
        (folder / "manifest.json").write_text("[]")
    else:
        (folder / "manifest.json").unlink()
    assert not intact(folder)
    prepared(folder, write)
    assert intact(folder)
    assert (folder / "model.safetensors").read_bytes() == bytes(range(256)) * 1000


def test_a_failed_conversion_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        write(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(BundleError, match=r"cannot be written to .*: No space left on device; make room there"):
        prepared(tmp_path / "key", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]


def _convert_in_process(folder: Path, log: Path) -> None:
    def logged(fresh: Path) -> None:
        with log.open("a") as file:
            file.write("converted\n")
        write(fresh)

    prepared(folder, logged)
    sys.exit(0 if intact(folder) else 1)


def test_processes_that_convert_at_once_do_it_once(tmp_path: Path) -> None:
    folder, log = tmp_path / "key", tmp_path / "log"
    spawn = multiprocessing.get_context("fork")
    processes = [spawn.Process(target=_convert_in_process, args=(folder, log)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert log.read_text() == "converted\n"


def test_a_cache_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="set XDG_CACHE_HOME to a folder that can be written"):
        prepared(tmp_path / "file" / "key", write)


def test_the_cache_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "llama-vid"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the XDG specification says to ignore
    assert cache_folder() == Path.home() / ".cache" / "llama-vid"


def test_a_missing_part_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(BundleError, match="no-such-part==1 is not installed"):
        converted(Part("no_such_part", "no-such-part==1", "x.gguf", "0" * 64))


@pytest.mark.model
def test_the_default_model_completes_a_sentence() -> None:
    try:
        SMOLLM2.path()
    except BundleError as error:
        pytest.skip(str(error))
    model = LanguageModel.load(device="cpu")
    assert (model.width, model.context) == (576, 8192)
    assert [model.detokenize([token]) for token in model.eos] == [""]
    for text in ("\nCaption:", " Yes", " No", "[15:04]"):
        assert model.detokenize(model.tokenize(text)) == text
    assert (len(model.tokenize("[15:04]")), len(model.tokenize(" Yes"))) == (7, 1)
    hidden = model.forward(model.embed_text("The capital of France is"))
    assert model.detokenize([int(model.logits(hidden[-1]).argmax())]) == " Paris"
