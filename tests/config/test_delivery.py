"""The `mqtt:` and `webhooks:` settings: what is wrong is said with the key and without secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from llama_vid.errors import ConfigError
from llama_vid.settings_mqtt import MqttSettings
from llama_vid.settings_webhook import WebhookSettings
from tests.peers.mosquitto import certificates


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"base_topic": ""}, "base_topic is empty"),
        ({"base_topic": "/"}, "base_topic is empty"),
        ({"base_topic": "home/#"}, "base_topic holds #"),
        ({"base_topic": "home/+/x"}, r"base_topic holds \+"),
        ({"base_topic": "$SYS"}, "the broker's own"),
        ({"base_topic": "a//b"}, "empty level"),
        ({"discovery_prefix": " "}, "discovery_prefix is empty"),
        ({"host": "mqtt://broker"}, "without a scheme"),
        ({"host": " "}, "no host name"),
        ({"port": 0}, "greater than or equal to 1"),
        ({"password_file": "secret.txt"}, "without username"),
        ({"tls": {"cert": "a.pem"}}, "cert is given without key"),
        ({"tls": {"key": "a.pem"}}, "key is given without cert"),
        ({"tls": {"insecure": True, "ca": "ca.pem"}}, "ca has no use"),
        ({"tls": {"cafile": "ca.pem"}}, "Extra inputs"),
        ({"tls": "yes"}, "tls"),
        ({"topic": "x"}, "Extra inputs"),
    ],
)
def test_what_is_wrong_with_mqtt(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        MqttSettings.model_validate({"host": "localhost"} | more)


def test_ports_and_topics() -> None:
    plain = MqttSettings.model_validate({"host": "broker.lan", "base_topic": "/home/cams/", "tls": False})
    assert (plain.port, plain.base_topic, plain.options().tls) == (1883, "home/cams", None)
    safe = MqttSettings.model_validate({"host": "broker.lan", "tls": True})
    assert safe.port == 8883
    context = safe.options().tls
    assert context is not None
    assert context.check_hostname
    assert MqttSettings.model_validate({"host": "broker.lan", "tls": {}, "port": 1884}).port == 1884


def test_files_of_mqtt(tmp_path: Path) -> None:
    made = certificates(tmp_path)

    def settings(**more: Any) -> MqttSettings:
        return MqttSettings.model_validate({"host": "localhost", "username": "cam"} | more)

    secret = tmp_path / "secret.txt"
    with pytest.raises(ConfigError, match=r"mqtt.password_file: there is no file .*secret\.txt"):
        settings(password_file="secret.txt").options(tmp_path)
    secret.write_text("hush hush\n")
    options = settings(password_file="secret.txt").options(tmp_path)
    assert options.password == "hush hush"
    assert "hush" not in repr(options)
    for content in (b"", b"\n", b"two\nlines hush\n", b"\xff\xfehush"):
        secret.write_bytes(content)
        with pytest.raises(ConfigError, match=r"mqtt\.password_file") as caught:
            settings(password_file="secret.txt").options(tmp_path)
        assert "hush" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        settings(password_file=".").options(tmp_path)
    with pytest.raises(ConfigError, match=r"mqtt.tls.ca: there is no file .*none\.pem"):
        settings(tls={"ca": "none.pem"}).options(tmp_path)
    with pytest.raises(ConfigError, match=r"mqtt\.tls\.ca: .* cannot be used"):
        settings(tls={"ca": "secret.txt"}).options(tmp_path)
    other = certificates(tmp_path / "other")
    with pytest.raises(ConfigError, match="belong together"):
        settings(tls={"cert": made.client.name, "key": str(other.client_key)}).options(tmp_path)
    assert settings(tls={"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}).options(tmp_path).tls is not None


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://host/path?key=k3y", True),
        ("http://10.0.0.2:8000/", True),
        ("ftp://host/k3y", False),
        ("file:///k3y", False),
        ("https:///k3y", False),
        ("https://host:99999/k3y", False),
        ("https://ho st/k3y", False),
        ("k3y", False),
    ],
)
def test_addresses_of_webhooks(url: str, good: bool) -> None:
    tree = {"url": url, "secret_file": "s"}
    if good:
        assert "k3y" not in repr(WebhookSettings.model_validate(tree))
    else:
        with pytest.raises(ValidationError, match="no web address") as caught:
            WebhookSettings.model_validate(tree)
        assert "k3y" not in str(caught.value)


def test_files_of_webhooks(tmp_path: Path) -> None:
    tree = {"url": "https://host/", "secret_file": "s", "cameras": ["front"]}
    settings = WebhookSettings.model_validate(tree)
    with pytest.raises(ConfigError, match=r"webhooks\.secret_file: there is no file"):
        settings.options(tmp_path)
    (tmp_path / "s").write_text("short")
    with pytest.raises(ConfigError, match="fewer than 16"):
        settings.options(tmp_path)
    (tmp_path / "s").write_text("long enough to be a secret\n")
    options = settings.options(tmp_path)
    assert (options.secret, options.cameras, options.rules) == (
        b"long enough to be a secret",
        frozenset({"front"}),
        None,
    )
