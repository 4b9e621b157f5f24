"""The packets of a looped film for those who watch it, in step with the pictures that the model sees."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from os import PathLike, fspath
from typing import Final

import av
from av import Packet
from av.container import InputContainer
from av.video.stream import VideoStream

from llama_vid.errors import SourceError
from llama_vid.stream.demux import open_container, video_stream
from llama_vid.stream.urls import parse_url
from llama_vid.stream.view import View
from llama_vid.stream.view_decoding import coding_of

#: Seconds of packets that are read at once.
_AHEAD: Final = 0.5


def tell_coding(url: str | PathLike[str], view: View) -> None:
    """Tell the view how a film is coded. A film that cannot be read is told by whoever plays it."""
    parsed = parse_url(fspath(url))
    with contextlib.suppress(SourceError), open_container(parsed) as container:
        view.begin(coding_of(video_stream(container, parsed)))


async def play_packets(url: str | PathLike[str], view: View, began: Callable[[], float]) -> None:
    """Hand the film's packets to the view while somebody watches, until the film is over or the task is cancelled.

    `began` gives the monotonic time that stands for the film's beginning; it may be put off while it plays.
    """
    # One thread: a container must not be used from two at once, and not be closed while it is read.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="film-packets") as worker:
        loop = asyncio.get_running_loop()
        film: _Film | None = None
        try:
            while True:
                await view.asked()
                film = await loop.run_in_executor(worker, _Film, url, time.monotonic() - began())
                view.begin(film.coding)
                while view.wanted:
                    packets = await loop.run_in_executor(worker, film.read)
                    if not packets:
                        return
                    for packet, at in packets:
                        early = began() + at - time.monotonic()
                        if early > 0:
                            await asyncio.sleep(early)
                        # What is from before they came is only there for the decoder, which is to catch up at once.
                        view.packet(packet, None if early < -1.0 else at)
                view.forget()
                await loop.run_in_executor(worker, film.close)
                film = None
        except (SourceError, av.FFmpegError, ValueError):
            return  # the film's own player says what is wrong with it
        finally:
            if film is not None:
                worker.submit(film.close)


class _Film:
    """An opened film at the last key frame before a time."""

    def __init__(self, url: str | PathLike[str], at: float) -> None:
        parsed = parse_url(fspath(url))
        self._container: InputContainer = open_container(parsed)
        self._stream: VideoStream = video_stream(self._container, parsed)
        self.coding = coding_of(self._stream)
        self._first = self._stream.start_time or 0
        unit = self._stream.time_base
        self._unit = float(unit) if unit else 1 / 90_000
        if at > 0.1:
            self._container.seek(self._first + round(at / self._unit), stream=self._stream)
        self._packets = self._container.demux(self._stream)

    def read(self) -> list[tuple[Packet[VideoStream], float]]:
        """The next packets with their seconds from the film's beginning; nothing once it is over."""
        found: list[tuple[Packet[VideoStream], float]] = []
        for packet in self._packets:
            stamp = packet.dts if packet.dts is not None else packet.pts
            if packet.size == 0 or stamp is None:
                continue
            found.append((packet, (stamp - self._first) * self._unit))
            if found[-1][1] - found[0][1] >= _AHEAD:
                break
        return found

    def close(self) -> None:
        self._container.close()
