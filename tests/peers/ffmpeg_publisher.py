"""ffmpeg's own WHIP publisher (libavformat's `whip` muxer) in a process of its own, which tests can kill.

    python -m tests.peers.ffmpeg_publisher URL CERT_FILE KEY_FILE [TOKEN]

sends pictures that show their time, 15 a second, and says `ready` when the server has taken it in. The certificate is
for DTLS: the one that ffmpeg makes itself where it is built with GnuTLS is of a curve that OpenSSL no longer takes.
"""

from __future__ import annotations

import select
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.video.stream import VideoStream

from tests.peers.video import paint
from tests.server.certificates import self_signed

RATE = 15


def publish(url: str, cert_file: str, key_file: str, token: str = "") -> None:
    """Publish until killed."""
    options = {"cert_file": cert_file, "key_file": key_file} | ({"authorization": token} if token else {})
    with av.open(url, "w", format="whip", options=options) as out:
        group = f"keyint={RATE}:min-keyint={RATE}:scenecut=0:bframes=0:repeat-headers=1"
        stream = out.add_stream(
            "libx264",
            rate=RATE,
            options={"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "x264-params": group},
        )
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        began, sent = time.monotonic(), 0
        while True:
            picture = av.VideoFrame.from_ndarray(paint(round(sent / RATE * 1000), 320, 180), format="rgb24")
            picture.pts, picture.time_base = sent, Fraction(1, RATE)
            out.mux(stream.encode(picture))
            if sent == 0:
                print("ready", flush=True)
            sent += 1
            time.sleep(max(0.0, began + sent / RATE - time.monotonic()))


class FfmpegPublisher:
    """`with FfmpegPublisher(url) as publisher: publisher.kill()`."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url, self._token = url, token
        self._process: subprocess.Popen[str] | None = None
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> Self:
        files = [str(file) for file in self_signed(Path(self._folder.name))]
        line = [sys.executable, "-m", "tests.peers.ffmpeg_publisher", self._url, *files]
        line += [self._token] if self._token else []
        self._process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        ready = select.select([self._process.stdout], [], [], 30)[0]
        if not ready or not self._process.stdout.readline().startswith("ready"):
            self._process.kill()
            said = self._process.communicate()[1]
            self._folder.cleanup()
            raise RuntimeError(f"ffmpeg did not publish: {said[-500:]}")
        return self

    def kill(self) -> None:
        """End it without a farewell."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ended(self) -> str:
        """Wait for its own end; gives the last line that it said."""
        assert self._process is not None
        assert self._process.stderr is not None
        self._process.wait(20)
        return (self._process.stderr.read().strip().splitlines() or [""])[-1].lower()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._folder.cleanup()
        assert self._process is not None
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


if __name__ == "__main__":
    publish(*sys.argv[1:])
