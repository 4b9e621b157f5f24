"""`config check`: what is wrong with a configuration file, and how to mend it; `config import` makes one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from llama_vid.commands.config_import import import_cameras
from llama_vid.commands.failure import one_line
from llama_vid.commands.terminal import Json, write_json
from llama_vid.errors import ConfigError

app = typer.Typer(help="Look after configuration files.", no_args_is_help=True)
app.command("import")(import_cameras)


class _Collected(logging.Handler):
    """Keeps the messages of warnings instead of printing them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@app.callback()
def configuration() -> None:
    """Look after configuration files."""


@app.command("check")
def check(file: Annotated[Path, typer.Argument(metavar="FILE")], as_json: Json = False) -> None:
    """Say whether a configuration file is right, and if not, what to do about it."""
    from llama_vid.config import check_bind, check_memory, load_config

    collected = _Collected()
    logger = logging.getLogger("llama_vid.config")
    logger.addHandler(collected)
    propagate, logger.propagate = logger.propagate, False
    try:
        config = load_config(file)
        check_bind(config.server)
        check_memory(config)
        config.llm.remote(file.parent)
    except ConfigError as problem:
        if not as_json:
            raise
        write_json({"file": str(file), "ok": False, "error": one_line(problem), "warnings": collected.messages})
        raise typer.Exit(problem.exit_code) from None
    finally:
        logger.removeHandler(collected)
        logger.propagate = propagate
    cameras = list(config.cameras)
    if as_json:
        write_json({"file": str(file), "ok": True, "cameras": cameras, "warnings": collected.messages})
        return
    for message in collected.messages:
        print(f"warning: {message}")
    names = ", ".join(cameras) if cameras else "none"
    print(f"{file} is right: port {config.server.port}, model {config.model.name}, cameras: {names}")
    if config.llm.engine == "openai" and (asked := config.llm.openai) is not None:
        shown = f"up to {asked.max_images} pictures and notes" if asked.max_images else "notes"
        print(f"every question sends {shown} to {asked.base_url} ({asked.model})")
    print(f"memory is kept in {config.memory_folder}")
