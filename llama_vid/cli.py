"""The program `llama-vid`: its commands, and the edge where errors become one line and an exit status.

Exit status: 0 success, 2 bad usage or configuration, 1 failure, 130 interrupted. Nothing heavy is imported before a
command runs, so that `--help` is immediate.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Annotated

import typer

from llama_vid.commands import (
    caption,
    chapters,
    cluster,
    configuration,
    doctor,
    live,
    mcp,
    memory,
    models,
    rules,
    token,
    video,
    work,
)
from llama_vid.commands.failure import report_failure, report_unexpected
from llama_vid.errors import LlamaVidError
from llama_vid.log_format import LogFormat, set_up

app = typer.Typer(
    name="llama-vid",
    help="Watch a camera or a recording as two tokens a frame, and ask at any time what has happened.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("ask")(video.ask)
app.command("timeline")(video.timeline)
app.command("search")(video.search)
app.command("caption")(caption.caption)
app.command("chapters")(chapters.chapters)
app.command("replay")(rules.replay)
app.add_typer(rules.app, name="rules")
app.command("serve")(live.serve)
app.command("demo")(live.demo)
app.command("cluster")(cluster.cluster)
app.command("mcp")(mcp.mcp)
app.add_typer(models.app, name="models")
app.add_typer(configuration.app, name="config")
app.add_typer(token.app, name="token")
app.command("forget")(memory.forget)
app.command("export")(memory.export)
app.command("doctor")(doctor.doctor)
app.command("eval")(work.evaluate)
app.command("train")(work.train)
app.command("bench")(work.bench)


def _show_version(wanted: bool) -> None:
    if wanted:
        from llama_vid import __version__

        typer.echo(f"llama-vid {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="LLAMA_VID_DEBUG", help="Log everything and show tracebacks.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what the program does to stderr.")] = False,
    log_format: Annotated[
        LogFormat,
        typer.Option("--log-format", envvar="LLAMA_VID_LOG_FORMAT", help="Log lines for people, or JSON for programs."),
    ] = "text",
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""
    level = logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING
    set_up(level, log_format)
    logging.captureWarnings(True)
    if not debug:
        # Libraries' own chatter; what a user can act on comes from llama_vid's loggers.
        for name in ("py.warnings", "transformers", "httpx", "huggingface_hub", "libav", "matplotlib", "PIL"):
            logging.getLogger(name).setLevel(logging.ERROR)
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        # Idle worker threads sleep instead of spinning: with FFmpeg, a camera or another program beside the model on
        # two cores, spinning made a step ten times slower. Read by the OpenMP runtime when torch is imported.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        # oneDNN keeps a kernel for every shape that it meets, a thousand by default and half a megabyte each; torch
        # keeps them once more. The model needs some three hundred.
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "400")
        os.environ.setdefault("LRU_CACHE_CAPACITY", "400")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _debugging() -> bool:
    return "--debug" in sys.argv or os.environ.get("LLAMA_VID_DEBUG", "").lower() in ("1", "true", "yes", "on")


def main() -> None:
    """Run the command line and leave the process with its exit status."""
    try:
        _run()
    except SystemExit as end:
        _end_a_loading_model(end.code if isinstance(end.code, int) else int(end.code is not None))
        raise


def _end_a_loading_model(status: int) -> None:
    """Ends the process here if a server's model is still being loaded, in a daemon thread.

    The interpreter cannot end a thread that is inside torch: it would abort. The server has closed all it had open.
    """
    if any(thread.name == "model-loader" for thread in threading.enumerate()):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run() -> None:
    try:
        app(prog_name="llama-vid")
    except LlamaVidError as problem:
        sys.exit(report_failure(problem, debug=_debugging()))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as problem:
        sys.exit(report_unexpected(problem, debug=_debugging()))


if __name__ == "__main__":
    main()
