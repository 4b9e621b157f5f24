"""Bundles that are not there, lack something, or were spoilt: one clear line each, from `ask` and from `serve`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llama_vid.bundle import find_bundle
from tests.bundles import film, skip_without_mini
from tests.cli.program import llama_vid, one_clear_line
from tests.e2e.conftest import Ran

pytestmark = [pytest.mark.model]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of `mini` to spoil; its files are links to the real ones."""
    skip_without_mini()
    place = tmp_path / "mine"
    place.mkdir()
    for file in find_bundle("mini").iterdir():
        (place / file.name).symlink_to(file)
    return place


def rewrite(bundle: Path, **changes: Any) -> None:
    """Changes keys of the manifest."""
    manifest = bundle / "bundle.json"
    tree = json.loads(manifest.read_text()) | changes
    manifest.unlink()
    manifest.write_text(json.dumps(tree))


def refused(run: Ran, bundle: Path) -> str:
    status, out, err = run("ask", str(film()), "What is there?", "--model", str(bundle), "--json")
    assert (status, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith("llama-vid: ")
    return line


def test_one_flipped_bit(run: Ran, bundle: Path) -> None:
    file = bundle / "compressor.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.unlink()
    file.write_bytes(data)
    line = refused(run, bundle)
    assert "compressor.safetensors" in line
    assert "hash" in line


def test_a_file_that_is_not_there(run: Ran, bundle: Path) -> None:
    (bundle / "lora.safetensors").unlink()
    assert "lacks lora.safetensors" in refused(run, bundle)


def test_a_manifest_that_cannot_be_read(run: Ran, bundle: Path) -> None:
    manifest = bundle / "bundle.json"
    text = manifest.read_text()
    manifest.unlink()
    for spoilt in (text[: len(text) // 2], "", "[]", "{}", '{"format": 1}', '{"format": 1, "files": []}', "\x00\xff"):
        manifest.write_text(spoilt)
        assert "bundle.json" in refused(run, bundle)
    manifest.write_bytes(b"\xff\xfe{}")
    assert "bundle.json" in refused(run, bundle)
    manifest.unlink()
    assert "is not a model bundle" in refused(run, bundle)


def test_a_manifest_that_describes_something_else(run: Ran, bundle: Path) -> None:
    tree = json.loads((bundle / "bundle.json").read_text())
    rewrite(bundle, format=99)
    assert "format 99" in refused(run, bundle)
    rewrite(bundle, format=tree["format"], heads=["head-9.safetensors"])
    assert "head-9" in refused(run, bundle)
    rewrite(bundle, heads=tree["heads"], compressor={"no_such_width": 3})
    assert "no_such_width" in refused(run, bundle)
    rewrite(bundle, compressor=tree["compressor"], calibration={"no_such_number": 1.0})
    assert "no_such_number" in refused(run, bundle)
    rewrite(bundle, calibration=tree.get("calibration", {}), files=tree["files"] | {"../outside.safetensors": "00"})
    assert "../outside.safetensors" in refused(run, bundle)


def test_names_that_nobody_knows(run: Ran) -> None:
    skip_without_mini()
    for name in ("maxi", "", "..", "/"):
        status, out, err = run("ask", str(film()), "What is there?", "--model", name)
        assert (status, out) == (1, ""), name
        assert len(err.splitlines()) == 1


def test_serve_ends_where_its_model_cannot_be_had(tmp_path: Path) -> None:
    config = tmp_path / "llama-vid.yaml"
    config.write_text("server: {port: 0}\nmodel: {name: maxi}\n")
    done = llama_vid("serve", "--config", str(config))
    assert done.returncode == 1
    assert "there is no model 'maxi'" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_serve_refuses_unknown_keys(tmp_path: Path) -> None:
    config = tmp_path / "llama-vid.yaml"
    config.write_text("server: {port: 0}\nmodel:\n  nmae: mini\n")
    done = llama_vid("serve", "--config", str(config))
    line = one_clear_line(done)
    assert done.returncode == 2
    assert "nmae" in line
    assert "3" in line
