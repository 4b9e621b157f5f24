"""`mcp`: a running server's cameras as tools for assistants, over stdio."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from llama_vid.errors import ConfigError

DEFAULT_URL = "http://127.0.0.1:8710"


def mcp(
    url: Annotated[
        str, typer.Option("--url", envvar="LLAMA_VID_URL", help="The running server's address.", show_default=True)
    ] = DEFAULT_URL,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="A file with the token; or set LLAMA_VID_TOKEN."),
    ] = None,
) -> None:
    """Speak the Model Context Protocol on stdin and stdout, for assistants: list cameras, ask, search, see pictures.

    It is started by the assistant's program and talks to a server that runs already. Needs the extra: mcp.
    """
    if sys.stdin.isatty():
        print("llama-vid: an assistant's program starts this and speaks MCP to it; see docs/tools.md", file=sys.stderr)
    token = os.environ.get("LLAMA_VID_TOKEN", "").strip() or None
    if token_file is not None:
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else "not text"
            raise ConfigError(f"{token_file} cannot be read ({reason}); name a file that holds the token") from None
    try:
        from llama_vid.clients.mcp_server import make_mcp_server
    except ImportError as missing:
        raise ConfigError(f'mcp needs the MCP SDK ({missing}); run: pip install "llama-vid-live[mcp]"') from None

    from llama_vid import __version__
    from llama_vid.clients.server_api import ServerApi

    async def serve() -> None:
        async with ServerApi.at(url, token) as api:
            await make_mcp_server(api, version=__version__).run_stdio_async()

    # The thread that waits for stdin cannot be ended: Ctrl-C ends the process, which has nothing to lose.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asyncio.run(serve())
