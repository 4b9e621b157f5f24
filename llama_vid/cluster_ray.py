"""Ray itself: started on this machine or joined, small and quiet, with the pool, the language model's host and workers.

Nothing leaves the machine: no usage statistics, no dashboard, every port on the loopback interface when it is started
here. Ray: Moritz et al. 2018, https://arxiv.org/abs/1712.05889.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Final

from llama_vid.errors import ConfigError, LlamaVidError

if TYPE_CHECKING:
    from llama_vid.cluster_parts import Parts  # imports torch

logger = logging.getLogger(__name__)

#: What Ray is told before it is imported, unless the user has told it already: it must not phone home, nor colour logs.
QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_COLOR_PREFIX": "0",
}
#: Where Ray is started here, it must listen on the loopback interface alone: its ports ask nobody for a password. By
#: default it takes the machine's outward address; this is how it is kept from that (its name is history).
LOOPBACK: Final = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
#: Ray starts its workers with niceness 15: beside any other work on the machine they would get next to nothing.
EQUAL: Final = {"RAY_worker_niceness": "0"}
#: Threads of each process: cameras' and the pool's share one budget of processors.
ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
START_S: Final = 240.0


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """How a cluster is laid out. `address` None: Ray is started here, on the loopback interface."""

    workers: int = 2
    towers: int = 1
    tower_threads: int = 1
    tower_gpus: float = 0.0
    language_threads: int = 0  # 0: as many as there are processors
    language_gpus: float = 0.0
    address: str | None = None
    object_store_mb: int = 200
    zone: tzinfo | None = None
    context_tokens: int | None = None
    recent_minutes: float = 10.0
    tokens: str | None = None


class RayCluster:
    """A running cluster. `start` blocks; everything else is for the event loop."""

    def __init__(self, parts: Parts, options: ClusterOptions) -> None:
        self._parts, self._options = parts, options
        self.reader: Any = None
        self.pool: Any = None
        self.model_name = ""
        self.tokens = options.tokens
        self._budget: Any = None
        self._workers: list[Any] = []
        self._actor: Any = None
        self._ours = False
        self._over = threading.Event()

    def start(self) -> None:
        """Start Ray, the pool, the language model's host and the workers, and wait until all are ready.

        Raises ConfigError where Ray is not installed, LlamaVidError where it does not start.
        """
        ray, serve = self._begun()
        options = self._options
        try:
            from llama_vid.cluster_reader import Reader
            from llama_vid.cluster_tower import POOL, tower_pool
            from llama_vid.cluster_worker import Worker

            self._actor = ray.remote(Worker).options(num_cpus=0, max_concurrency=1000, max_restarts=0)
            reading = ray.remote(Reader).options(
                num_cpus=0, num_gpus=options.language_gpus, max_concurrency=1000, max_restarts=-1, max_task_retries=0
            )
            # All processes begin at once: each spends seconds on importing what it needs.
            self.reader = reading.remote(
                self._parts, zone=options.zone, context_tokens=options.context_tokens,
                recent_minutes=options.recent_minutes, threads=options.language_threads or os.cpu_count() or 1,
            )  # fmt: skip
            self._workers = [self._new() for _ in range(options.workers)]
            serve.start(proxy_location="Disabled")
            pool = tower_pool(
                self._parts,
                replicas=options.towers,
                threads=options.tower_threads,
                gpus=options.tower_gpus,
                here=options.address is None,
            )
            self.pool = serve.run(pool, name=POOL, route_prefix=None)
            self._budget, self.model_name = ray.get(
                [self.reader.budget.remote(), self.reader.name.remote()], timeout=START_S
            )
            ray.get([self._prepared(worker) for worker in self._workers], timeout=START_S)
        except Exception as problem:
            self._end()
            if isinstance(problem, LlamaVidError):
                raise
            cause = getattr(problem, "cause", None)
            raise LlamaVidError(f"the cluster could not be started: {cause or problem}") from problem

    def _begun(self) -> tuple[Any, Any]:
        """Ray, begun by a thread that lives until the end: its servers die with the *thread* that started them
        (PR_SET_PDEATHSIG, see prctl(2)), and who calls `start` may be a thread that is done when the model is loaded.
        """
        begun: Future[tuple[Any, Any]] = Future()

        def run() -> None:
            try:
                begun.set_result(_ray(self._options))
            except BaseException as problem:  # raised again for whoever waits
                begun.set_exception(problem)
                return
            self._over.wait()

        threading.Thread(target=run, name="ray", daemon=True).start()
        found = begun.result()
        self._ours = True
        return found

    def first_workers(self) -> list[Any]:
        """The workers that `start` made."""
        return list(self._workers)

    def keep(self, workers: list[Any]) -> None:
        """These are its workers now: a supervisor has let go of them."""
        self._workers = workers

    async def start_worker(self) -> Any:
        """One more worker, ready. Raises LlamaVidError."""
        from llama_vid.cluster_calls import call

        worker = self._new()
        await call(worker, "prepare", self._budget, self.reader, whom="a new worker", timeout=START_S)
        return worker

    async def end_worker(self, worker: Any) -> None:
        """End a worker: it may be dead, or hang."""
        import ray

        with contextlib.suppress(Exception):
            ray.kill(worker, no_restart=True)

    async def close(self) -> None:
        """End all, and Ray where it was started here."""
        await asyncio.to_thread(self._end)

    def _new(self) -> Any:
        return self._actor.remote(self._parts, self._options.recent_minutes)

    def _prepared(self, worker: Any) -> Any:
        return worker.prepare.remote(self._budget, self.reader)

    def _end(self) -> None:
        import ray
        from ray import serve

        from llama_vid.cluster_tower import POOL

        with contextlib.suppress(Exception):
            if self._options.address is not None:
                for actor in (*self._workers, self.reader):
                    ray.kill(actor)
                serve.delete(POOL)
            else:
                serve.shutdown()  # type: ignore[no-untyped-call]
        if self._ours:
            ray.shutdown()
            self._over.set()


def set_environment(*, here: bool) -> None:
    """Tell Ray what it reads when it is imported: call this before anything imports it. `here`: it is started here."""
    for name, value in {**QUIET, **EQUAL, **ONE_THREAD, **(LOOPBACK if here else {})}.items():
        os.environ.setdefault(name, value)


def _ray(options: ClusterOptions) -> tuple[Any, Any]:
    """Ray, started or joined, and Serve. Raises ConfigError where it is not installed."""
    set_environment(here=options.address is None)
    try:
        import ray
        from ray import serve
    except ImportError:
        raise ConfigError(
            'a cluster needs Ray: pip install "llama-vid-live[cluster]" (or -r requirements-cluster.txt)'
        ) from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "namespace": "llama-vid"}
    if options.address is not None:
        try:
            ray.init(address=options.address, **quiet)
        except Exception as problem:
            raise LlamaVidError(f"there is no Ray cluster at {options.address}: {problem}") from problem
        return ray, serve
    ray.init(
        num_cpus=max(8, (os.cpu_count() or 1) * 2), num_gpus=None, include_dashboard=False,
        object_store_memory=options.object_store_mb << 20, **quiet,
    )  # fmt: skip
    where = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    if where != "127.0.0.1":
        ray.shutdown()
        raise LlamaVidError(
            f"Ray would listen on {where}, open to the network: it was imported before set_environment() was called"
        )
    return ray, serve
