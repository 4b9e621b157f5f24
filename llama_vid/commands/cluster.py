"""`cluster`: the live server over workers on Ray."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from llama_vid.commands.live import DEFAULT_CONFIG
from llama_vid.commands.models import fetch_missing
from llama_vid.commands.terminal import Json, write_json


def cluster(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", metavar="FILE", help=f"The configuration; by default {DEFAULT_CONFIG} if it is here."
        ),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="On this machine alone, whatever cluster.address says.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, metavar="N", help="Camera workers; by default cluster.workers.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the live server on a cluster until Ctrl-C: cameras on workers that replace each other, one port in front."""
    from llama_vid.config import load_config

    if config is None and DEFAULT_CONFIG.is_file():
        config = DEFAULT_CONFIG
    settings = load_config(config)
    fetch_missing(settings.model.name)

    from dataclasses import replace

    from llama_vid.cluster import ClusterServer, cluster_options

    options = cluster_options(settings, workers)
    if local:
        options = replace(options, address=None)
    logging.getLogger("llama_vid").setLevel(min(logging.INFO, logging.getLogger().level))
    scheme = "https" if settings.server.tls is not None else "http"
    out = sys.stdout

    def tell(state: str, **more: object) -> None:
        if as_json:
            with contextlib.redirect_stdout(out):
                write_json({"state": state, **more})

    def announce(host: str, port: int) -> None:
        address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        print(f"llama-vid: {address} is open; the cluster starts; Ctrl-C ends it", file=sys.stderr, flush=True)
        tell("open", url=address)

    def ready() -> None:
        print(f"llama-vid: {options.workers} camera workers are ready", file=sys.stderr, flush=True)
        tell("ready", workers=options.workers, towers=options.towers)

    with contextlib.redirect_stdout(sys.stderr):  # Ray says there what becomes of its processes
        ClusterServer(settings, options, on_ready=ready).run(announce)
