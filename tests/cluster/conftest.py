"""One real Ray cluster of the tiny model for all tests here: it takes seconds to start."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from llama_vid.cluster_ray import ClusterOptions, RayCluster, set_environment
from tests.cluster.tiny import TinyParts, coloured, config_with
from tests.conftest import write_video
from tests.llm.conftest import save_tiny


@pytest.fixture(scope="package")
def parts(tmp_path_factory: pytest.TempPathFactory) -> TinyParts:
    """The tiny model, its language model saved."""
    return TinyParts(save_tiny(tmp_path_factory.mktemp("tiny-language-model")))


@pytest.fixture(scope="package")
def ray_cluster(parts: TinyParts) -> Iterator[RayCluster]:
    """Pool, language model's host and two workers, running."""
    set_environment(here=True)  # before anything imports Ray
    pytest.importorskip("ray", reason="Ray is not installed: pip install -r requirements-cluster.txt")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, of what it imports
        cluster = RayCluster(parts, ClusterOptions(workers=2, language_threads=1))
        cluster.start()
        yield cluster
        asyncio.run(cluster.close())


@pytest.fixture(scope="package")
def colour_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds each of red, green, blue and grey."""
    return write_video(tmp_path_factory.mktemp("colours") / "film.mp4", coloured("red", "green", "blue", "grey"))


@pytest.fixture
async def model(ray_cluster: RayCluster, tmp_path: Path) -> AsyncIterator[object]:
    """The cluster as a server's model, with a memory folder of its own and two workers, which it gives back."""
    from llama_vid.alert_desk import PAUSE
    from llama_vid.cluster_journal import FrontJournal
    from llama_vid.cluster_model import ClusterModel

    config = config_with(tmp_path / "data")
    with FrontJournal(config.memory_folder, kinds=(PAUSE,)) as journal:
        model = ClusterModel(ray_cluster, config, journal)
        try:
            yield model
        finally:
            ray_cluster.keep(await model.supervisor.leave())
