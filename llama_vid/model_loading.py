"""Loads the model beside the open port, and knows why the server is not ready."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from llama_vid.camera_desk import CameraDesk
from llama_vid.errors import BundleError, LlamaVidError
from llama_vid.live_types import LiveModel, ModelLoader
from llama_vid.settings import Config

if TYPE_CHECKING:
    from llama_vid.memory.journal import Journal

logger = logging.getLogger(__name__)


class ModelLoading:
    """Loads the model once and knows why the server is not ready."""

    def __init__(
        self, load_model: ModelLoader, desk: CameraDesk, on_failure: Callable[[BaseException], None] | None
    ) -> None:
        self._load_model = load_model
        self._desk = desk
        self._on_failure = on_failure
        self._started = time.monotonic()
        self._took: float | None = None
        self._failure = ""

    def reason(self) -> str:
        """Why questions cannot be answered yet; empty when they can."""
        if self._failure:
            return self._failure
        if self._desk.model_name is None:
            return f"the model is loading, since {time.monotonic() - self._started:.0f} s"
        return ""

    @property
    def seconds(self) -> float:
        """How long loading took, or has taken so far."""
        return self._took if self._took is not None else time.monotonic() - self._started

    async def run(self) -> None:
        """Loads in a daemon thread, so that Ctrl-C need not wait for it."""
        loop = asyncio.get_running_loop()
        loaded: asyncio.Future[LiveModel] = loop.create_future()

        def settle(model: LiveModel | None, problem: BaseException | None) -> None:
            if loaded.done():
                return
            if model is not None:
                loaded.set_result(model)
            else:
                loaded.set_exception(problem or LlamaVidError("the model loader gave nothing"))

        def load() -> None:
            model, problem = None, None
            try:
                model = self._load_model()
            except Exception as caught:  # the edge of the thread: told to the loop, which logs or raises it
                problem = caught
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server was stopped meanwhile
                loop.call_soon_threadsafe(settle, model, problem)

        threading.Thread(target=load, name="model-loader", daemon=True).start()
        try:
            model = await loaded
            self._took = self.seconds
            self._desk.use_model(model)
        except LlamaVidError as problem:
            self._fail(problem, str(problem))
        except Exception as problem:
            logger.exception("The model could not be loaded")
            self._fail(problem, "the model could not be loaded; the server's log says why")
        else:
            logger.info("Model %s is ready after %.1f s", self._desk.model_name, self._took)

    def _fail(self, problem: Exception, reason: str) -> None:
        self._took = self.seconds
        self._failure = reason
        self._desk.give_up(reason)
        if self._on_failure is not None:
            self._on_failure(problem)
        else:
            logger.error("The server cannot answer: %s", reason)


def token_maker(name: str) -> str | None:
    """What makes the tokens and embeddings that a memory holds, in one line: the bundle and a digest of the weights
    that they depend on. A memory that another maker filled cannot be read by this one.

    None for a bundle that is missing or damaged: loading it says why, and then nothing is written.
    """
    from llama_vid.bundle import find_bundle, read_manifest  # imports torch
    from llama_vid.hub import hub_id
    from llama_vid.published import identity
    from llama_vid.published_config import is_published

    if (repository := hub_id(name)) is not None:
        return repository  # not fetched yet, perhaps; what its authors publish under a name stays the same
    try:
        if is_published(Path(name)):
            return identity(Path(name))
        folder = find_bundle(name)
        manifest = read_manifest(folder)
    except BundleError:
        return None
    weights = sorted(item for item in manifest["files"].items() if item[0].startswith(("head-", "compressor.")))
    others = [manifest["tower"].get("sha256")] if "tower" in manifest else []  # nothing for the tower of `mini`
    digest = hashlib.sha256(json.dumps([weights, manifest.get("compressor"), *others], sort_keys=True).encode())
    return f"{folder.name} {digest.hexdigest()[:12]}"


def bundle_loader(config: Config, journal: Journal | None = None) -> ModelLoader:
    """Loads the bundle that the configuration names; its sessions write to the journal and begin with what is there.

    Raises ConfigError for a server of a language model whose key or certificates cannot be read.
    """
    beside = config.file.parent if config.file is not None else Path()
    vllm, asked = config.llm.server(beside), config.llm.remote(beside)

    def load() -> LiveModel:
        from llama_vid.llm.placement import LoadOptions
        from llama_vid.model import LLaMAVID  # imports torch: in the loader's thread, after the port is open
        from llama_vid.remote_answers import RemoteAnswers

        tokens, told = config.memory.context_tokens, config.model
        return LLaMAVID.from_pretrained(
            config.model.name,
            device=config.model.device,
            dtype=config.model.dtype,
            context_tokens=None if tokens == "auto" else tokens,
            zone=ZoneInfo(config.timezone) if config.timezone else None,
            recent_minutes=config.memory.recent_minutes,
            journal=journal,
            scorer=config.model.scorer,
            vllm=vllm,
            remote=RemoteAnswers(asked, config.memory_folder) if asked is not None else None,
            options=LoadOptions(told.quantize, told.device_map, told.max_memory, compiled=told.compile),
        )

    return load
