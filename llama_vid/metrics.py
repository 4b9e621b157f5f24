"""`GET /metrics`: counts of the running server in Prometheus' text format, or OpenMetrics for who asks for it.

What is counted as it happens (answers, times to the first token) lives in a registry of this server alone; all else is
read at the moment of the scrape. Labels are camera names and fixed words, never an address or a question.
"""

from __future__ import annotations

import platform
from collections import Counter as Tally
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import llama_vid
from llama_vid.camera_desk import CameraDesk
from llama_vid.caption_metrics import caption_metrics
from llama_vid.clients.protocol import ResponseDone, ResponseStatus
from llama_vid.live_types import LiveSession
from llama_vid.memory.alerts import AlertChange
from llama_vid.model_loading import ModelLoading
from llama_vid.remote_metrics import RemoteState
from llama_vid.stream.source import SourceState

if TYPE_CHECKING:
    from llama_vid.memory.journal import Journal

#: Seconds. The goals are 0.5 s alone and 3 s among 32 askers; a cold cache takes longer.
FIRST_TOKEN_BUCKETS: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)
#: Seconds. An answer of some sentences takes one to three on two cores, several cameras one after another.
ANSWER_BUCKETS: Final = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120)


class Metrics:
    """The counts of one server. All methods run in the event loop's thread."""

    def __init__(self, desk: CameraDesk, loading: ModelLoading, journal: Journal | None) -> None:
        # Values are read on every scrape: asking for them at registration would only be a scrape too many.
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(namespace="llama_vid", registry=self._registry)
        self._registry.register(_ServerState(loading))
        self._registry.register(_CameraState(desk))
        self._registry.register(RemoteState(desk))
        if journal is not None:
            self._registry.register(_JournalState(journal))
        self._first_token = Histogram(
            "llama_vid_first_token_seconds",
            "From taking a question to the first piece of its answer's text.",
            buckets=FIRST_TOKEN_BUCKETS,
            registry=self._registry,
        )
        self._answers = Counter("llama_vid_answers", "Answers by how they ended.", ["status"], registry=self._registry)
        for status in get_args(ResponseStatus):
            self._answers.labels(status)
        self._answer = Histogram(
            "llama_vid_answer_seconds",
            "From taking a question to the end of its answer, for those that were completed.",
            buckets=ANSWER_BUCKETS,
            registry=self._registry,
        )
        # Rules are those of the configuration, and cameras that are added over the network have none.
        self._alerts = Counter(
            "llama_vid_alerts", "Events that alert rules found.", ["camera", "rule"], registry=self._registry
        )
        desk.alerts.listen(self._alerted)

    def answered(self, done: ResponseDone) -> None:
        """Counts an answer that has ended."""
        self._answers.labels(done.status).inc()
        if done.usage.first_token_s:
            self._first_token.observe(done.usage.first_token_s)
        if done.status == "completed":
            self._answer.observe(done.usage.total_s)

    def _alerted(self, change: AlertChange) -> None:
        if change.type == "new":
            self._alerts.labels(change.event.camera, change.event.rule).inc()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Everything as text, in the format that the header `Accept` asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _ServerState(Collector):
    def __init__(self, loading: ModelLoading) -> None:
        self._loading = loading

    def collect(self) -> Iterator[Metric]:
        build = {"version": llama_vid.__version__, "python": platform.python_version()}
        yield InfoMetricFamily("llama_vid_build", "The program's version, and Python's.", value=build)
        ready = not self._loading.reason()
        yield GaugeMetricFamily("llama_vid_ready", "1 when questions are answered, else 0.", value=float(ready))
        yield GaugeMetricFamily(
            "llama_vid_model_loading_seconds",
            "How long loading the model took, or has taken so far.",
            value=self._loading.seconds,
        )


class _CameraState(Collector):
    def __init__(self, desk: CameraDesk) -> None:
        self._desk = desk

    def collect(self) -> Iterator[Metric]:
        cameras = [self._desk.camera(name) for name in self._desk.names()]
        found = Tally(camera.state for camera in cameras)
        states = GaugeMetricFamily("llama_vid_cameras", "Cameras by state.", labels=["state"])
        for state in get_args(SourceState):
            states.add_metric([state], found[state])
        yield states
        live = GaugeMetricFamily("llama_vid_camera_live", "1 while pictures come, else 0.", labels=["camera"])
        for camera in cameras:
            live.add_metric([camera.name], float(camera.state == "live"))
        yield live
        yield from _of_sessions({camera.name: camera.session for camera in cameras if camera.session is not None})


def _of_sessions(sessions: dict[str, LiveSession]) -> Iterator[Metric]:
    """Counts of the cameras that are being watched; they begin at 0 when a camera is opened anew."""
    frames = CounterMetricFamily("llama_vid_camera_frames", "Frames that came.", labels=["camera"])
    dropped = CounterMetricFamily(
        "llama_vid_camera_dropped_frames", "Frames that came too fast to be watched.", labels=["camera"]
    )
    reconnects = CounterMetricFamily("llama_vid_camera_reconnects", "Times the stream was lost.", labels=["camera"])
    watched = GaugeMetricFamily("llama_vid_camera_watched_seconds", "Seconds of video in memory.", labels=["camera"])
    tokens = GaugeMetricFamily("llama_vid_camera_video_tokens", "Tokens that stand for them.", labels=["camera"])
    entries = GaugeMetricFamily("llama_vid_camera_memory_entries", "Entries of the memory bank.", labels=["camera"])
    cached = GaugeMetricFamily("llama_vid_camera_kv_cache_bytes", "Size of the KV cache.", labels=["camera"])
    for name, session in sessions.items():
        stats = session.stats
        frames.add_metric([name], stats.frames)
        dropped.add_metric([name], stats.dropped)
        reconnects.add_metric([name], stats.reconnects)
        watched.add_metric([name], session.watched_s)
        tokens.add_metric([name], session.tokens.video)
        entries.add_metric([name], session.memory.entries)
        cached.add_metric([name], session.memory.cached_bytes)
    yield from caption_metrics({name: heard for name, each in sessions.items() if (heard := each.hearing) is not None})
    yield from (frames, dropped, reconnects, watched, tokens, entries, cached)


class _JournalState(Collector):
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def collect(self) -> Iterator[Metric]:
        state = self._journal.state
        yield GaugeMetricFamily(
            "llama_vid_journal_failing", "1 while memory cannot be written to disk, else 0.", value=float(not state.ok)
        )
        yield GaugeMetricFamily("llama_vid_journal_rows", "Rows of the journal.", value=state.rows)
        yield GaugeMetricFamily("llama_vid_journal_bytes", "Size on disk, pictures included.", value=state.bytes)
        yield GaugeMetricFamily(
            "llama_vid_journal_waiting_writes", "Writes that wait for the disk.", value=state.waiting
        )
        yield CounterMetricFamily(
            "llama_vid_journal_lost_writes", "Writes given up as the disk took none.", value=state.lost
        )
        if state.written_at is not None:
            yield GaugeMetricFamily(
                "llama_vid_journal_written_timestamp_seconds", "When it was last written.", value=state.written_at
            )
