"""The tower pool: stateless replicas on Ray Serve that encode pixels for all cameras, in batches as they come.

    serve.run(tower_pool(parts, replicas=1), name=POOL, route_prefix=None)
    features = await TowerClient().encode(pixels)

Serve's dynamic batching (https://docs.ray.io/en/latest/serve/advanced-guides/dyn-req-batch.html) joins requests of
different cameras and workers into one forward, which takes far less than one for each.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import numpy as np
import torch

from llama_vid.cluster_parts import BATCH, Parts, encoded_features
from llama_vid.cluster_wire import Features, Pixels
from llama_vid.errors import LlamaVidError

#: How long the first request of a batch waits for others: little beside a forward, and cameras come at any time.
GATHER_S: Final = 0.01
#: Requests on their way to one replica: more wait at their workers, where the oldest frames are dropped and counted.
ONGOING: Final = 64
#: A replica that died is replaced within seconds; frames wait that long.
PATIENCE_S: Final = 20.0
RETRY_S: Final = 0.25


#: The pool's name in Serve.
POOL: Final = "llama-vid-tower"


def pool_handle() -> Any:
    """The running pool of the cluster that this process belongs to."""
    from ray import serve

    return serve.get_app_handle(POOL)


class TowerReplica:
    """One replica. Its forwards run in a thread, so that requests are taken meanwhile."""

    def __init__(self, parts: Parts, threads: int, here: bool) -> None:
        """`here`: nobody beyond this machine is to reach it."""
        if here:
            keep_to_loopback()
        torch.set_num_threads(threads)
        self._tower = parts.tower()
        self._one = asyncio.Lock()

    async def together(self, requests: list[Pixels]) -> list[Features]:
        """Features of several requests' pixels (B, 3, S, S) uint8, in one go."""
        async with self._one:
            found = await asyncio.to_thread(encoded_features, self._tower, np.concatenate(requests))
        at, answers = 0, []
        for pixels in requests:
            rows = slice(at, at + len(pixels))
            answers.append(Features(found.patches[rows], found.embedding[rows]))
            at = rows.stop
        return answers


def keep_to_loopback() -> None:
    """Have the Serve replica of this process take calls from this machine alone.

    Serve 2.60 opens a port for calls between replicas on every interface, without asking who calls, and has no option
    for it; a replica opens it after its own class was made. `tests/cluster` looks at the ports that are really open.
    """
    from importlib import import_module

    replica: Any = import_module("ray.serve._private.replica")
    whole = replica.add_port_to_grpc_server

    def on_loopback(server: Any, address: str) -> Any:
        return whole(server, address.replace("[::]", "127.0.0.1"))

    replica.add_port_to_grpc_server = on_loopback


def tower_pool(parts: Parts, *, replicas: int = 1, threads: int = 1, gpus: float = 0.0, here: bool = True) -> Any:
    """The pool as a Serve application, to be given to `serve.run`; `here`: on this machine alone."""
    from ray import serve

    class Pool(TowerReplica):
        @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=GATHER_S)
        async def encode(self, requests: list[Pixels]) -> list[Features]:
            return await self.together(requests)

    deployed: Any = serve.deployment(
        name="tower",
        num_replicas=replicas,
        max_ongoing_requests=ONGOING,
        ray_actor_options={"num_cpus": threads, "num_gpus": gpus},
        graceful_shutdown_timeout_s=2,
    )(Pool)
    return deployed.bind(parts, threads, here)


class TowerClient:
    """The pool as a worker or the language model's host uses it; counts what it sends and gets."""

    def __init__(self, handle: Any = None) -> None:
        """`handle` is Serve's; without one the pool of this cluster is looked up when it is first wanted."""
        self._there = handle
        self.sent_bytes = self.got_bytes = self.frames = 0

    @property
    def _handle(self) -> Any:
        if self._there is None:
            self._there = pool_handle()
        return self._there

    async def encode(self, pixels: Pixels) -> Features:
        """Features of pixels (B, 3, S, S). Raises LlamaVidError when the pool does not answer for PATIENCE_S."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._counted(pixels, await self._handle.encode.remote(pixels))
            except Exception as problem:  # whatever a replica that died makes of it
                if time.monotonic() > deadline:
                    raise LlamaVidError(f"the tower pool does not answer: {problem}") from problem
            await asyncio.sleep(RETRY_S)

    def encode_now(self, pixels: Pixels) -> Features:
        """As `encode`, for a thread that waits."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._counted(pixels, self._handle.encode.remote(pixels).result(timeout_s=PATIENCE_S))
            except Exception as problem:
                if time.monotonic() > deadline:
                    raise LlamaVidError(f"the tower pool does not answer: {problem}") from problem
            time.sleep(RETRY_S)

    def _counted(self, pixels: Pixels, features: Features) -> Features:
        self.frames += len(pixels)
        self.sent_bytes += pixels.nbytes
        self.got_bytes += features.nbytes
        return features
