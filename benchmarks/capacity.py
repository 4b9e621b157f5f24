"""How many machines for how many cameras: the capacity model of docs/scaling.md, computed.

    llama-vid bench capacity --cameras 10000

Every part's work grows with the frames that it sees, so the model is a sum of products: cameras × frames a second ×
cost a frame. The costs are those that `llama-vid bench cluster` measured with four cameras; `docs/scaling.md` shows
what they predict for eight beside what was measured. `share` is the part of the frames in which something changed:
others never reach the tower.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any, Final

#: Work that one core takes without falling behind: the rest is for peaks, and for the cameras of a machine that died.
LOADED: Final = 0.7
#: Cameras of a worker: what it has to restore within the ten seconds after another one died.
CAMERAS_A_WORKER: Final = 50
#: Frames a second that one GPU encodes; no figure of ours (`llama-vid bench` on a GPU gives one), a cautious guess for
#: ViT-L/14 at 224 pixels in 16 bits on a card of the L4 class.
GPU_FPS: Final = 400.0
#: Dollars a month, for whoever has no prices of their own: a core, a gigabyte of memory, a GPU of the L4 class.
CORE, GIGABYTE, GPU = 15.0, 2.0, 350.0
COUNTS: Final = (8, 100, 1_000, 10_000)
QUIET, BUSY = 0.1, 1.0


@dataclass(frozen=True, slots=True)
class Costs:
    """Processor milliseconds: of a worker and of the front for each frame, of the tower for each frame that it encodes,
    of the language model's host for each frame beyond its `language_idle_cores`; of Ray itself for each frame. Bytes a
    frame on each edge. Megabytes.

    The host spends what is left of its time on telling scenes, a fifth of it at most, however many cameras there are:
    that is a constant, not a cost of a frame.
    """

    worker_ms: float
    tower_ms: float
    language_idle_cores: float
    front_ms: float
    ray_ms: float
    to_tower_bytes: float
    from_tower_bytes: float
    to_language_bytes: float
    worker_mb: float
    tower_mb: float
    language_mb: float
    language_ms: float = 10.0  # a pair read by the language model, in batches of eight (`llama-vid bench ttft`)
    memory_mb_a_camera: float = 24.0  # an hour's tokens and embeddings at a worker, and again at its mirror
    journal_bytes_a_frame: float = 13_000.0
    picture_bytes: float = 40_000.0

    @classmethod
    def fitted(cls, load: Any) -> Costs:
        """From one measured load (`benchmarks.cluster.Load`)."""
        frames, encoded = max(1, load.frames), max(1, load.sent.get("frames_encoded", 0))
        used, resident, sent = load.cpu_s, load.resident_mb, load.sent
        return cls(
            worker_ms=1000 * used.get("workers", 0.0) / frames,
            tower_ms=1000 * used.get("tower", 0.0) / encoded,
            language_idle_cores=used.get("language_model", 0.0) / load.seconds,
            front_ms=1000 * used.get("front", 0.0) / frames,
            ray_ms=1000 * used.get("ray_itself", 0.0) / frames,
            to_tower_bytes=sent.get("to_tower", 0) / encoded,
            from_tower_bytes=sent.get("from_tower", 0) / encoded,
            to_language_bytes=sent.get("to_language_model", 0) / frames,
            worker_mb=resident.get("workers", 0.0) / 2,
            tower_mb=resident.get("tower", 0.0),
            language_mb=resident.get("language_model", 0.0),
        )


def predicted(costs: Costs, cameras: int, share: float, fps: float = 1.0) -> dict[str, float]:
    """Cores and bytes a second of so many cameras, of whose frames `share` change."""
    frames, encoded = cameras * fps, cameras * fps * share
    cores = {
        "workers": frames * costs.worker_ms / 1000,
        "tower": encoded * costs.tower_ms / 1000,
        "language_model": max(costs.language_idle_cores, frames * costs.language_ms / 1000),
        "front": frames * costs.front_ms / 1000,
        "ray_itself": frames * costs.ray_ms / 1000,
    }
    return {
        **{f"cores_{part}": value for part, value in cores.items()},
        "cores": sum(cores.values()),
        "mb_a_second_to_tower": encoded * costs.to_tower_bytes / 1e6,
        "mb_a_second_from_tower": encoded * costs.from_tower_bytes / 1e6,
        "mb_a_second_to_language_model": frames * costs.to_language_bytes / 1e6,
        "mb_a_second_to_disk": encoded * (costs.journal_bytes_a_frame + costs.picture_bytes) / 1e6,
    }


def plan(costs: Costs, cameras: int, share: float, fps: float = 1.0) -> dict[str, float]:
    """Processes, cores, memory, GPUs and dollars a month for so many cameras."""
    load = predicted(costs, cameras, share, fps)
    room = {part: ceil(load[f"cores_{part}"] / LOADED) for part in ("workers", "tower", "language_model", "front")}
    workers = max(2, ceil(cameras / CAMERAS_A_WORKER), room["workers"])
    towers, hosts = max(1, room["tower"]), max(1, room["language_model"])
    fronts = max(1, room["front"])
    memory = workers * costs.worker_mb + towers * costs.tower_mb + hosts * costs.language_mb
    memory += 2 * cameras * costs.memory_mb_a_camera
    cores = workers + towers + hosts + fronts + ceil(load["cores_ray_itself"])
    gpus = ceil(cameras * fps * share / (GPU_FPS * LOADED))
    return {
        "workers": workers,
        "tower_replicas": towers,
        "language_hosts": hosts,
        "fronts": fronts,
        "cores": cores,
        "memory_gb": memory / 1000,
        "network_mb_a_second": sum(value for key, value in load.items() if key.startswith("mb_") and "disk" not in key),
        "disk_mb_a_second": load["mb_a_second_to_disk"],
        "dollars_a_month": cores * CORE + memory / 1000 * GIGABYTE,
        "gpus_instead_of_tower_replicas": gpus,
        "dollars_a_month_with_gpus": (cores - towers) * CORE + memory / 1000 * GIGABYTE + gpus * GPU,
    }


#: Measured by `llama-vid bench cluster` with four cameras (docs/scaling.md says on what).
MEASURED: Final = Costs(
    worker_ms=46.7,
    tower_ms=22.3,
    language_idle_cores=0.27,
    front_ms=4.1,
    ray_ms=16.4,
    to_tower_bytes=202_800,
    from_tower_bytes=211_460,
    to_language_bytes=8_824,
    worker_mb=1238,
    tower_mb=1086,
    language_mb=1564,
)


@dataclass(frozen=True, slots=True)
class Capacity:
    """The plans for some numbers of cameras, quiet ones and busy ones."""

    counts: tuple[int, ...]
    costs: Costs

    def to_json(self) -> dict[str, Any]:
        kinds = {"quiet": QUIET, "busy": BUSY}
        return {
            "name": "capacity",
            "n": len(self.counts),
            **{
                f"{count}_{kind}": plan(self.costs, count, share)
                for count in self.counts
                for kind, share in kinds.items()
            },
        }


def measure(runs: int | None = None, *, cameras: int | None = None) -> Capacity:
    """The plan for so many cameras, or for COUNTS; nothing is measured."""
    return Capacity((cameras,) if cameras is not None else COUNTS, MEASURED)


if __name__ == "__main__":
    from evaluation.report import print_table

    print_table(measure())
