"""Counts of captions for `GET /metrics`, read from the running captions at the moment of the scrape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

if TYPE_CHECKING:
    from llama_vid.llm.speech.caption_stream import CaptionStats


def caption_metrics(stats: Mapping[str, CaptionStats]) -> Iterator[Metric]:
    """Metrics of the cameras with captions, by camera; they begin at 0 when a camera is opened anew."""
    if not stats:
        return
    from llama_vid.llm.speech.caption_stream import CaptionState  # numpy: only where something listens

    words = CounterMetricFamily("llama_vid_caption_words", "Words that were committed.", labels=["camera"])
    left_out = CounterMetricFamily(
        "llama_vid_caption_left_out_words", "Words that were heard and not believed.", labels=["camera"]
    )
    dropped = CounterMetricFamily(
        "llama_vid_caption_dropped_seconds", "Sound lost as recognition could not keep up.", labels=["camera"]
    )
    lag = GaugeMetricFamily(
        "llama_vid_caption_lag_seconds", "Sound that has come and is not recognised yet.", labels=["camera"]
    )
    delay = GaugeMetricFamily(
        "llama_vid_caption_delay_seconds",
        "How late after being spoken the 95th of the latest 100 words was committed.",
        labels=["camera"],
    )
    load = GaugeMetricFamily(
        "llama_vid_caption_load_ratio", "Share of real time that recognition takes.", labels=["camera"]
    )
    rung = GaugeMetricFamily(
        "llama_vid_caption_effort_rung", "Steps of quality that are given up to keep up; 0 is none.", labels=["camera"]
    )
    state = GaugeMetricFamily(
        "llama_vid_caption_state", "1 for the state that captions are in.", labels=["camera", "state"]
    )
    for name, each in stats.items():
        words.add_metric([name], each.words)
        left_out.add_metric([name], each.left_out)
        dropped.add_metric([name], each.dropped_s)
        lag.add_metric([name], each.lag_s)
        if each.delay_s is not None:
            delay.add_metric([name], each.delay_s)
        load.add_metric([name], each.load)
        rung.add_metric([name], each.rung)
        for one in get_args(CaptionState):
            state.add_metric([name, one], float(each.state == one))
    yield from (words, left_out, dropped, lag, delay, load, rung, state)
