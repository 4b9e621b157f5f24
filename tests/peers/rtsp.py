"""A real RTSP camera on loopback that tests can kill and bring back: demo/rtsp_camera.py run by the system's Python."""

from __future__ import annotations

import functools
import select
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

SCRIPT = Path(__file__).resolve().parents[2] / "demo" / "rtsp_camera.py"
SYSTEM_PYTHON = "/usr/bin/python3"


@functools.cache
def missing() -> str:
    """Why no RTSP server can be started here; empty when one can."""
    if not Path(SYSTEM_PYTHON).exists():
        return f"no {SYSTEM_PYTHON}"
    try:
        check = subprocess.run([SYSTEM_PYTHON, str(SCRIPT), "--check"], capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "GStreamer does not answer"
    if check.returncode == 0:
        return ""
    return (check.stderr.strip().splitlines() or ["GStreamer's RTSP server is missing"])[-1]


def free_port() -> int:
    """A TCP port on loopback that nobody listens on right now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class RtspCamera:
    """`with RtspCamera(film) as camera: camera.url`; `stop` kills it, `start` brings it back on the same port."""

    def __init__(
        self,
        film: Path | None = None,
        *,
        user: str = "",
        password: str = "",
        rate: int = 15,
        size: tuple[int, int] = (320, 180),
    ) -> None:
        self.port = free_port()
        self._size = size
        self._film, self._user, self._password, self._rate = film, user, password, rate
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return self.address(self._user, self._password)

    def address(self, user: str = "", password: str = "", path: str = "/live") -> str:
        sign_in = f"{user}:{password}@" if user else ""
        return f"rtsp://{sign_in}127.0.0.1:{self.port}{path}"

    def start(self, timeout: float = 30.0) -> None:
        """Start serving and wait until it does."""
        line = [SYSTEM_PYTHON, str(SCRIPT), "--port", str(self.port), "--rate", str(self._rate)]
        line += ["--width", str(self._size[0]), "--height", str(self._size[1])]
        if self._film is not None:
            line.append(str(self._film))
        with tempfile.TemporaryDirectory() as folder:
            if self._user:
                secret = Path(folder, "password")
                secret.write_text(self._password)
                line += ["--user", self._user, "--password-file", str(secret)]
            self._process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            assert self._process.stdout is not None
            deadline = time.monotonic() + timeout
            while time.monotonic() < deadline and self._process.poll() is None:
                readable = select.select([self._process.stdout], [], [], 0.1)[0]
                if readable and self._process.stdout.readline().startswith("ready"):
                    return
        self.stop()
        raise RuntimeError("The RTSP camera did not start.")

    def stop(self) -> None:
        """Kill it without a farewell, as when its plug is pulled."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def freeze(self) -> None:
        """Stop it without ending it: its connections stay open and nothing comes any more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen camera go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
