"""`serve` and `demo`: the live server."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from llama_vid.commands.models import fetch_missing

DEFAULT_CONFIG = Path("llama-vid.yaml")


def serve(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", metavar="FILE", help=f"The configuration; by default {DEFAULT_CONFIG} if it is here."
        ),
    ] = None,
) -> None:
    """Run the live server until Ctrl-C: cameras in, questions over a websocket, a page to look at."""
    from llama_vid.config import load_config

    if config is None and DEFAULT_CONFIG.is_file():
        config = DEFAULT_CONFIG
    settings = load_config(config)

    from llama_vid.server import serve as run_server

    fetch_missing(settings.model.name)
    # Who runs a server wants to see cameras come and go.
    logging.getLogger("llama_vid").setLevel(min(logging.INFO, logging.getLogger().level))
    scheme = "https" if settings.server.tls is not None else "http"

    def announce(host: str, port: int) -> None:
        address = f"[{host}]" if ":" in host else host
        print(f"llama-vid: {scheme}://{address}:{port} is open; Ctrl-C ends it", file=sys.stderr, flush=True)

    run_server(settings, on_open=announce)


def demo(
    leave: Annotated[
        bool, typer.Option("--exit", envvar="DEMO_EXIT", help="Leave after the answer instead of staying up.")
    ] = False,
) -> None:
    """Serve a sample video as a live camera, ask one question and print the answer."""
    fetch_missing("mini")
    from llama_vid.demo import run_demo

    run_demo(exit_after=leave)
