"""`doctor`, of the remote model: whether its server is there, takes the key and has the model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llama_vid.commands.checks import Check
from llama_vid.errors import LlamaVidError

if TYPE_CHECKING:
    from llama_vid.settings import Config

#: Names that are shown of a server that has not the model that is wanted.
SHOWN: Final = 8


def look_at_remote_model(config: Config) -> Iterator[Check]:
    """The server of `llm.engine: openai`. Its list of models is read; no question is sent, so it costs nothing."""
    asked = config.llm.openai
    if config.llm.engine != "openai" or asked is None:
        return
    try:
        options = config.llm.remote(config.file.parent if config.file is not None else Path())
        assert options is not None
        from llama_vid.llm.remote_client import RemoteClient

        known = asyncio.run(RemoteClient(options).models())
    except LlamaVidError as problem:
        detail, _, fix = str(problem).removeprefix("llm.openai: ").partition("; ")
        yield Check("remote model", "problem", detail, fix or "see docs/engines.md")
        return
    # Ollama lists `llava:latest`, and takes `llava` for it.
    if options.model in known or f"{options.model}:latest" in known:
        yield Check("remote model", "ok", f"{options.base_url} has {options.model}")
    else:
        listed = ", ".join(known[:SHOWN]) or "none"
        yield Check(
            "remote model", "warning", f"{options.base_url} does not list {options.model}; it lists {listed}",
            "set llm.openai.model to one of them",
        )  # fmt: skip
