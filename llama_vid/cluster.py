"""The cluster as a program: the front server with Ray's actors behind it, on one machine or many."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from llama_vid.alert_desk import PAUSE
from llama_vid.cluster_ray import ClusterOptions, RayCluster, set_environment
from llama_vid.live_types import LiveModel
from llama_vid.memory.journal import Journal
from llama_vid.model_loading import token_maker
from llama_vid.server import serve
from llama_vid.settings import Config

logger = logging.getLogger(__name__)


def cluster_options(config: Config, workers: int | None = None) -> ClusterOptions:
    """How the configuration has a cluster laid out; `workers` goes before its own number."""
    settings, tokens = config.cluster, config.memory.context_tokens
    return ClusterOptions(
        workers=workers or settings.workers,
        towers=settings.towers,
        tower_threads=settings.tower_threads,
        tower_gpus=settings.tower_gpus,
        language_threads=settings.language_threads,
        language_gpus=settings.language_gpus,
        address=settings.address,
        object_store_mb=settings.object_store_mb,
        zone=ZoneInfo(config.timezone) if config.timezone else None,
        context_tokens=None if tokens == "auto" else tokens,
        recent_minutes=config.memory.recent_minutes,
        tokens=token_maker(config.model.name),
    )


class ClusterServer:
    """Runs the front server over a cluster until Ctrl-C; `on_ready` hears when the cluster is there."""

    def __init__(
        self, config: Config, options: ClusterOptions, parts: Any = None, on_ready: Callable[[], None] = lambda: None
    ) -> None:
        """`parts` are those of the configured model unless given (`cluster_parts.Parts`)."""
        self._config, self._options, self._parts, self._on_ready = config, options, parts, on_ready
        self._cluster: RayCluster | None = None
        self._journal: Any = None
        self.model: Any = None

    def run(self, on_open: Callable[[str, int], None] | None = None) -> None:
        """Serve. Raises as `llama_vid.server.serve`, and LlamaVidError where the cluster does not start."""
        set_environment(here=self._options.address is None)
        try:
            serve(self._config, load_model=self._load, on_open=on_open, journal_of=self._open, scale=self.scale)
        finally:
            if self._cluster is not None:
                with contextlib.suppress(Exception):
                    asyncio.run(self._cluster.close())

    async def scale(self, workers: int) -> None:
        """Have so many workers."""
        if self.model is not None:
            await self.model.supervisor.scale(workers)
            logger.info("the cluster has %d workers", workers)

    def _open(self, config: Config) -> Journal:
        from llama_vid.cluster_journal import FrontJournal

        self._journal = FrontJournal(
            config.memory_folder,
            kinds=(PAUSE,),
            retention_days=config.memory.retention_days,
            retention_gb=config.memory.retention_gb,
            model=token_maker(config.model.name),
        )
        journal: Journal = self._journal
        return journal

    def _load(self) -> LiveModel:
        from llama_vid.cluster_model import ClusterModel
        from llama_vid.cluster_parts import bundle_parts

        model = self._config.model
        parts = self._parts or bundle_parts(model.name, model.device, model.dtype)
        self._cluster = RayCluster(parts, self._options)
        self._cluster.start()
        self.model = ClusterModel(self._cluster, self._config, self._journal)
        self._on_ready()
        loaded: LiveModel = self.model
        return loaded
