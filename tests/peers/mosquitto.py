"""A real MQTT broker on loopback that tests can stop and bring back, with passwords, TLS and limits; and a listener."""

from __future__ import annotations

import asyncio
import math
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Self

import aiomqtt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.peers.rtsp import free_port

PLACES = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"


def missing() -> str:
    """Why no broker can be started here; empty when one can."""
    return "" if shutil.which("mosquitto", path=PLACES) else "Debian's mosquitto is not installed"


class Broker:
    """`with Broker(folder) as broker: broker.port`; `stop` ends it, `start` brings it back on the same port.

    `users` (name: password) must sign in; `lines` go into its configuration as they are. Retained messages outlive it.
    """

    def __init__(self, folder: Path, *, users: Mapping[str, str] | None = None, lines: tuple[str, ...] = ()) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        config = [
            *(f"listener {self.port} 127.0.0.1", "user root", "persistence true", f"persistence_location {folder}/"),
            *("log_dest stderr", "log_type all", f"allow_anonymous {'false' if users else 'true'}", *lines),
        ]
        if users:
            passwords = folder / "passwords"
            passwords.touch(mode=0o600)
            for name, password in users.items():
                command = [str(shutil.which("mosquitto_passwd", path=PLACES)), "-b", str(passwords), name, password]
                subprocess.run(command, check=True, capture_output=True)
            config.append(f"password_file {passwords}")
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join(config) + "\n")

    @property
    def log(self) -> str:
        """What it wrote to its log so far."""
        return (self._folder / "mosquitto.log").read_text()

    def start(self, timeout: float = 20.0) -> None:
        """Start it and wait until it listens."""
        with (self._folder / "mosquitto.log").open("ab") as log:
            command = [str(shutil.which("mosquitto", path=PLACES)), "-c", str(self._config)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.01)
        self.stop()
        raise RuntimeError(f"mosquitto did not start: {self.log[-500:]}")

    def stop(self) -> None:
        """End it as its service manager does; it writes down what is retained."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that the broker passed on."""

    topic: str
    payload: bytes
    retain: bool

    @property
    def text(self) -> str:
        return self.payload.decode()


class Listener:
    """`async with Listener(port) as listener:` a subscriber of its own, to everything; `heard` grows as it comes."""

    def __init__(self, port: int, **options: object) -> None:
        self._client = aiomqtt.Client("127.0.0.1", port, timeout=math.inf, **options)  # type: ignore[arg-type]
        self.heard: list[Heard] = []
        self._came = asyncio.Condition()

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        self._task = asyncio.create_task(self._listen(), name="listener")
        await self._client.subscribe("#", qos=1)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError, aiomqtt.MqttError):
            await self._task
        with suppress(aiomqtt.MqttError):
            await self._client.__aexit__(kind, error, trace)

    async def _listen(self) -> None:
        async for message in self._client.messages:
            async with self._came:
                self.heard.append(Heard(str(message.topic), bytes(message.payload), bool(message.retain)))
                self._came.notify_all()

    async def send(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        """Publish something."""
        await self._client.publish(topic, payload, qos=1, retain=retain)

    def on(self, topic: str) -> list[Heard]:
        """What came on one topic, in order."""
        return [message for message in self.heard if message.topic == topic]

    async def until(self, condition: Callable[[], object], timeout: float = 20.0) -> None:
        """Wait until a condition on what was heard holds. Raises TimeoutError."""
        async with asyncio.timeout(timeout), self._came:
            await self._came.wait_for(lambda: bool(condition()))

    async def last(self, topic: str, payload: str, timeout: float = 20.0) -> None:
        """Wait until the last message on a topic is this one."""
        await self.until(lambda: self.on(topic) and self.on(topic)[-1].payload == payload.encode(), timeout)


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: an authority, a server's for 127.0.0.1 and localhost, and a client's, both signed by it."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def certificates(folder: Path) -> Certificates:
    """Make new ones, valid for a day."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def write(name: str, data: bytes) -> Path:
        path = folder / name
        path.write_bytes(data)
        return path

    authority_key = ec.generate_private_key(ec.SECP256R1())

    def make(name: str, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(authority_key, hashes.SHA256())

    def pair(name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        certificate = make(name, key, ca=False).public_bytes(serialization.Encoding.PEM)
        return write(f"{name}.pem", certificate), write(f"{name}.key", pem)

    ca = write("ca.pem", make("authority", authority_key, ca=True).public_bytes(serialization.Encoding.PEM))
    return Certificates(ca, *pair("server"), *pair("client"))
