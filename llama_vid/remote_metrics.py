"""What a remote model was asked and what came of it, for `GET /metrics`; nothing where none is configured."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from llama_vid.camera_desk import CameraDesk
from llama_vid.errors import ProtocolError


class RemoteState(Collector):
    """Counts since the model was loaded. Labels are fixed words: outcomes and kinds of failures."""

    def __init__(self, desk: CameraDesk) -> None:
        self._desk = desk

    def collect(self) -> Iterator[Metric]:
        """One family for each count."""
        try:
            remote = getattr(self._desk.model, "remote", None)
        except ProtocolError:  # the model is still loading, or there is none
            return
        if remote is None:
            return
        counts = remote.counts
        requests = CounterMetricFamily("llama_vid_remote_requests", "Requests by how they ended.", labels=["outcome"])
        for outcome in ("answered", "failed", "cancelled"):
            requests.add_metric([outcome], counts.requests[outcome])
        yield requests
        yield CounterMetricFamily("llama_vid_remote_images", "Pictures that were sent.", value=counts.images)
        tokens = CounterMetricFamily("llama_vid_remote_tokens", "Tokens, as the server counts them.", labels=["kind"])
        tokens.add_metric(["prompt"], counts.prompt_tokens)
        tokens.add_metric(["completion"], counts.completion_tokens)
        yield tokens
        for name, text, tally in (
            ("llama_vid_remote_errors", "Questions that the remote model did not answer.", counts.errors),
            ("llama_vid_remote_fallbacks", "Of those, the ones that the local model answered.", counts.fallbacks),
        ):
            family = CounterMetricFamily(name, text, labels=["kind"])
            for kind, count in tally.items():
                family.add_metric([kind], count)
            yield family
        resting = float(remote.reader.resting)
        yield GaugeMetricFamily("llama_vid_remote_resting", "1 while it is left alone after failures.", value=resting)
