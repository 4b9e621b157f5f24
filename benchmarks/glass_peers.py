"""The two ends of the benchmark `glass`: ffmpeg's own WHIP publisher, and a WebRTC viewer that reads its clock."""

from __future__ import annotations

import asyncio
import contextlib
import select
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
import httpx
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.video.stream import VideoStream
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks.wall import Image8, clip_images
from llama_vid.errors import LlamaVidError
from llama_vid.stream.picture import to_rgb

SIZE: Final = (640, 360)
RATE: Final = 15
#: Seconds until the publisher must have been taken in: it decodes its films first.
START_S: Final = 60.0
#: Binary digits of the painted clock, in milliseconds: a round of 4.6 hours.
BITS: Final = 24
STRIP: Final = 24  # pixels at the bottom


def stamp(image: Image8, milliseconds: int) -> Image8:
    """The picture with the time as a strip of black and white blocks at its bottom."""
    image = image.copy()
    width = image.shape[1]
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        image[-STRIP:, left:right] = 255 if milliseconds >> bit & 1 else 0
    return image


def read_stamp(image: Image8) -> int:
    """The milliseconds that `stamp` painted, whatever the picture's size."""
    height, width = image.shape[:2]
    row = image[height - round(STRIP * height / SIZE[1] / 2)].mean(axis=1)
    return sum(int(row[int((bit + 0.5) * width / BITS)] > 127) << bit for bit in range(BITS))


def clock_ms() -> int:
    """The clock that is painted: this machine's, in milliseconds, as far as BITS reach."""
    return round(time.time() * 1000) % (1 << BITS)


def age_s(painted: int) -> float:
    """How long ago a painted time was, in seconds."""
    return ((clock_ms() - painted) % (1 << BITS)) / 1000


def publish(url: str, films: Sequence[str], folder: Path) -> None:
    """Send one scene, stamped, as H.264 with ffmpeg's WHIP muxer, until stdin ends. Each line there is the number of
    the scene to show from then on; each line on stdout says which is shown since when.
    """
    scenes = [list(islice(clip_images(name, SIZE), 4 * RATE)) for name in films]
    wanted, shown, sent = 0, -1, 0
    # WebRTC's H.264 begins each key frame with its parameter sets and reorders nothing.
    group = f"keyint={2 * RATE}:min-keyint={2 * RATE}:scenecut=0:bframes=0:repeat-headers=1"
    options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "x264-params": group}
    with av.open(url, "w", format="whip", options=_certificate(folder)) as out:
        stream = out.add_stream("libx264", rate=RATE, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.bit_rate = 2_000_000
        began = time.monotonic()
        while True:
            if select.select([sys.stdin], [], [], max(0.0, began + sent / RATE - time.monotonic()))[0]:
                line = sys.stdin.readline()
                if not line:
                    return
                wanted, shown = int(line), -1
                continue
            image = scenes[wanted][sent // 2 % len(scenes[wanted])]
            at = time.time()
            picture = av.VideoFrame.from_ndarray(stamp(image, clock_ms()), format="rgb24")
            picture.pts, picture.time_base = sent, Fraction(1, RATE)
            out.mux(stream.encode(picture))
            if wanted != shown:
                shown = wanted
                print(shown, at, flush=True)
            sent += 1


def _certificate(folder: Path) -> dict[str, str]:
    """Built with GnuTLS, ffmpeg makes a certificate of a curve that OpenSSL 4 no longer takes: give it another."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "glass")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    pem = made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(pem)
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return {"cert_file": str(cert_file), "key_file": str(key_file)}


class Publisher:
    """`publish` in a process of its own (ffmpeg's handshake holds the interpreter) for the length of the block."""

    def __init__(self, url: str, films: Sequence[str]) -> None:
        """`films` are names of sample films, one for each scene."""
        self._line = [sys.executable, "-m", "benchmarks.glass_peers", url, *films]
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*self._line, stdin=pipe, stdout=pipe, stderr=pipe)
        await self._shown(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()

    async def again(self) -> None:
        """Start it anew after it stopped. Raises LlamaVidError when it does not come."""
        await self.__aexit__(None, None, None)
        await self.__aenter__()

    async def turn_to(self, scene: int) -> float:
        """Show another scene; gives when its first picture was painted. Raises LlamaVidError when sending failed."""
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):  # what it said is read below
            self._process.stdin.write(f"{scene}\n".encode())
        return await self._shown(scene)

    async def _shown(self, scene: int) -> float:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_S):
                words = (await self._process.stdout.readline()).split()
        except TimeoutError:
            raise LlamaVidError(f"the WHIP publisher hangs: no picture went out for {START_S:.0f} s") from None
        if len(words) != 2 or int(words[0]) != scene:
            said = (await self._process.communicate())[1].decode(errors="replace").strip().splitlines() or ["nothing"]
            raise LlamaVidError(f"the WHIP publisher stopped: {said[-1]}")
        return float(words[1])


class Watcher:
    """A WHEP viewer that notes the age of every picture that it sees, in `ages`."""

    def __init__(self, http: httpx.AsyncClient, camera: str) -> None:
        self._http, self._camera = http, camera
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._location = ""
        self._task: asyncio.Task[None] | None = None
        self.ages: list[float] = []

    async def __aenter__(self) -> Self:
        tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue(1)
        self._peer.on("track", tracks.put_nowait)
        self._peer.addTransceiver("video", direction="recvonly")
        await self._peer.setLocalDescription(await self._peer.createOffer())
        answer = await self._http.post(
            f"/whep/{self._camera}",
            content=self._peer.localDescription.sdp,
            headers={"Content-Type": "application/sdp"},
        )
        if answer.status_code != 201:
            raise LlamaVidError(f"WHEP answered {answer.status_code}: {answer.text[:200]}")
        self._location = answer.headers["Location"]
        await self._peer.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        self._task = asyncio.create_task(self._watch(await tracks.get()), name="whep-watcher")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._http.delete(self._location)
        await self._peer.close()

    async def _watch(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                picture = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(picture, av.VideoFrame)
            self.ages.append(age_s(read_stamp(to_rgb(picture))))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        publish(sys.argv[1], sys.argv[2:], Path(place))
