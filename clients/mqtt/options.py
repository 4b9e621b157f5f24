"""Where the broker is and how to reach it, as the bridge takes it: everything read and checked."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from llama_vid.errors import ConfigError


@dataclass(frozen=True, slots=True)
class MqttOptions:
    """`tls` None: a plain connection. The password is never printed."""

    host: str
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    base_topic: str = "llama_vid"
    discovery_prefix: str = "homeassistant"

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port}"


def check_topic(text: str, name: str) -> str:
    """A topic or prefix fit to have more levels put after it, trimmed of slashes at its ends. Raises ValueError."""
    topic = text.strip().strip("/")
    if not topic:
        raise ValueError(f"{name} is empty; write a topic such as llama_vid")
    if bad := sorted({letter for letter in topic if letter in "+#"}):
        raise ValueError(f"{name} holds {' and '.join(bad)}, which are MQTT's wildcards; write a topic without them")
    if topic.startswith("$"):
        raise ValueError(f"{name} begins with $, which is the broker's own; write another topic")
    if not topic.isprintable() or len(topic.encode()) > 200 or "" in topic.split("/"):
        raise ValueError(f"{name} has an empty level or an unprintable letter, or is too long; write a short topic")
    return topic


def read_secret(path: Path, name: str) -> str:
    """The text of a file that holds a secret, without the line's end. Raises ConfigError, which never quotes it."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{name}: there is no file {path}; make it, with the secret in one line") from None
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{name}: {path} cannot be read ({reason}); let this program's user read it") from None
    secret = text.rstrip("\r\n")
    if not secret or re.search(r"[\r\n]", secret):
        raise ConfigError(f"{name}: {path} must hold the secret in one line, and nothing else")
    return secret


def tls_context(ca: Path | None, cert: Path | None, key: Path | None, *, insecure: bool) -> ssl.SSLContext:
    """How a TLS connection is made: `ca` None trusts what the system trusts; `insecure` checks nothing at all.

    Raises ConfigError for files that are missing or no certificates.
    """
    for path, name in ((ca, "ca"), (cert, "cert"), (key, "key")):
        if path is not None and not path.is_file():
            raise ConfigError(f"mqtt.tls.{name}: there is no file {path}; give a PEM file")
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as problem:
        raise ConfigError(f"mqtt.tls.ca: {ca} cannot be used ({_why(problem)}); give a PEM file of the CA") from None
    if cert is not None:
        try:
            context.load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as problem:
            raise ConfigError(
                f"mqtt.tls.cert: {cert} with the key {key} cannot be used ({_why(problem)}); give PEM files that "
                "belong together"
            ) from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _why(problem: OSError) -> str:
    """What is wrong, without the C file and line."""
    return (problem.strerror or str(problem) or type(problem).__name__).split(" (_ssl.c")[0]
