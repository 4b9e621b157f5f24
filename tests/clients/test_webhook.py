"""Webhooks against a real web server: signed so that anybody can check it, in order, again until they are taken."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import logging
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from llama_vid.clients.webhook import Webhook
from llama_vid.clients.webhook_options import WebhookOptions, signing_key
from llama_vid.errors import ConfigError
from llama_vid.memory.journal import Journal
from tests.clients.mqtt.yard import NOON, began, ended, event
from tests.peers.mosquitto import certificates
from tests.peers.waiting import until

KEY = b"a secret of some length"


class Receiver:
    """A web server that notes what is posted whole; `answers` are its next statuses, then 204."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        receiver = self
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # whoever sent it was stopped in the middle
                receiver.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
                self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that does not trust it hangs up."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http{'' if context is None else 's'}://127.0.0.1:{self._server.server_address[1]}/hook?key=k3y"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def ids(self) -> list[str]:
        return [json.loads(body)["id"] for _, body in self.posts]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path) as journal:
        yield journal


@contextlib.asynccontextmanager
async def running(journal: Journal, options: WebhookOptions) -> AsyncIterator[Webhook]:
    journal.alerts.channels([options.channel])
    webhook = Webhook(options, journal.alerts, clock=lambda: NOON, first_wait=0.01, longest_wait=0.05)
    task = asyncio.create_task(webhook.run())
    try:
        yield webhook
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_change_is_posted_and_its_signature_can_be_checked(receiver: Receiver, journal: Journal) -> None:
    async with running(journal, WebhookOptions(receiver.url, KEY)):
        of = event()
        first = journal.alerts.record(began(of))
        journal.alerts.record(ended(of))
        await until(lambda: len(receiver.posts) == 2)
    headers, body = receiver.posts[0]
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == began(of).to_json()
    assert json.loads(receiver.posts[1][1])["type"] == "end"
    assert headers["webhook-id"] == f"msg_{first}"
    assert headers["webhook-timestamp"] == str(int(NOON))
    # As docs/mqtt.md shows it to receivers.
    message = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
    expected = base64.b64encode(hmac.new(KEY, message, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


async def test_it_is_sent_again_until_it_is_taken_and_in_order(
    receiver: Receiver, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    receiver.answers = [500, 503, 429, 302, 404, 204, 400, 413, 204]
    events = [event(n) for n in range(4)]
    async with running(journal, WebhookOptions(receiver.url, KEY)) as webhook:
        for of in events:
            journal.alerts.record(began(of))
        await until(lambda: len(receiver.posts) == 9)
        await until(lambda: webhook.count == 2)
    first, second, third, fourth = (of.id for of in events)
    assert receiver.ids == [first] * 6 + [second, third, fourth]  # what it does not want does not hold up the others
    assert len({headers["webhook-id"] for headers, _ in receiver.posts[:6]}) == 1
    assert webhook.reason == ""
    assert "it answers 302, a redirect" in caplog.text
    assert "unwanted: it answers 400" in caplog.text
    assert "k3y" not in caplog.text, "the url may hold a key"
    assert KEY.decode() not in caplog.text


async def test_what_was_not_delivered_waits_for_the_next_start(receiver: Receiver, journal: Journal) -> None:
    options = WebhookOptions(receiver.url, KEY, frozenset({"front"}), frozenset({"package"}))
    wanted = [event(n) for n in range(3)]
    receiver.answers = [204] + [500] * 10_000
    async with running(journal, options) as webhook:
        for of in (wanted[0], event(camera="yard"), wanted[1], event(rule="person"), wanted[2]):
            journal.alerts.record(began(of))
        await until(lambda: webhook.count == 1 and "500" in webhook.reason)
    receiver.posts, receiver.answers = [], []
    async with running(journal, options) as webhook:
        await until(lambda: webhook.count == 2)
    assert list(dict.fromkeys(receiver.ids)) == [of.id for of in wanted[1:]]
    assert journal.alerts.undelivered(options.channel) == []


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, journal: Journal) -> None:
    made = certificates(tmp_path / "made")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server, made.server_key)
    receiver = Receiver(context)
    try:
        async with running(journal, WebhookOptions(receiver.url, KEY)) as webhook:
            journal.alerts.record(began(event()))
            await until(lambda: webhook.reason)
            assert webhook.reason == "it cannot be reached (certificate)"
        assert receiver.posts == []
    finally:
        receiver.close()


def test_secrets_as_text_and_as_base64() -> None:
    assert signing_key("plain letters") == b"plain letters"
    assert signing_key("whsec_" + base64.b64encode(KEY).decode()) == KEY
    with pytest.raises(ConfigError, match="not base64"):
        signing_key("whsec_!")
    assert "k3y" not in repr(WebhookOptions("https://host/?key=k3y", KEY))
    assert "secret" not in repr(WebhookOptions("https://host/?key=k3y", KEY)).split("(")[1]
