"""Follows the configuration file of a running server: a good change is applied per camera, a bad one is refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from llama_vid.camera_desk import CameraDesk
from llama_vid.config import load_config
from llama_vid.errors import ConfigError, LlamaVidError
from llama_vid.settings import Config

logger = logging.getLogger(__name__)

#: One `stat` a second costs nothing and is soon enough for a person who has just saved a file.
POLL_S = 1.0

Stamp = tuple[int, int, int] | None


async def watch_config(
    config: Config,
    desk: CameraDesk,
    *,
    poll_s: float = POLL_S,
    stamp: Stamp = None,
    scale: Callable[[int], Awaitable[None]] | None = None,
) -> None:
    """Runs until cancelled; returns at once for a configuration that came from no file.

    `stamp` is the file's `file_stamp` from when `config` was read; without it, changes count from now. `scale` has a
    cluster have so many workers.
    """
    if config.file is None:
        return
    path, current = config.file, config
    seen = stamp if stamp is not None else file_stamp(path)
    while True:
        await asyncio.sleep(poll_s)
        stamp = file_stamp(path)
        if stamp == seen:
            continue
        seen = stamp
        try:
            new = await asyncio.to_thread(load_config, path)
        except ConfigError as problem:
            logger.error("%s was changed but is refused, the old one stays in force: %s", path.name, problem)
            continue
        done = await desk.apply(current.cameras, new.cameras)
        if scale is not None and new.cluster.workers != current.cluster.workers:
            try:
                await scale(new.cluster.workers)
            except LlamaVidError as problem:
                logger.error("%s: cluster.workers could not be changed: %s", path.name, problem)
        for name in ("server", "model", "llm", "memory", "mqtt", "webhooks", "webrtc", "timezone"):
            if getattr(new, name) != getattr(current, name):
                logger.warning("%s: a change of '%s' takes effect when the server is started again", path.name, name)
        logger.info("%s was changed; cameras: %s", path.name, ", ".join(done) or "as before")
        current = new


def file_stamp(path: Path) -> Stamp:
    """What changes when a file does: its time, size and inode (editors replace files); None when there is none."""
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_mtime_ns, info.st_size, info.st_ino
