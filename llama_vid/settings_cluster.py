"""The section `cluster:` of the configuration: how `llama-vid cluster` is laid out."""

from __future__ import annotations

from pydantic import Field

from llama_vid.settings_section import Section


class ClusterSettings(Section):
    """Camera workers, replicas of the image tower, and what each may use.

    `workers` may be changed while the cluster runs: cameras are moved. `address` is that of a Ray cluster that runs
    already (ray start --head); without one Ray is started on this machine alone.
    """

    workers: int = Field(default=2, ge=1, le=1000)
    towers: int = Field(default=1, ge=1, le=1000)
    tower_threads: int = Field(default=1, ge=1, le=256)
    tower_gpus: float = Field(default=0, ge=0, le=8)
    language_threads: int = Field(default=0, ge=0, le=256)
    language_gpus: float = Field(default=0, ge=0, le=8)
    address: str | None = Field(default=None, min_length=1)
    object_store_mb: int = Field(default=200, ge=80)
