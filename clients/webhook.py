"""Alerts to a web address: each change as a signed POST, in order, until the receiver has taken it.

Signed as https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md says: `webhook-id`
(the same when a change is sent again), `webhook-timestamp` (epoch seconds) and `webhook-signature`, which is "v1," and
the base64 of HMAC-SHA256 over "id.timestamp.body". The body is the change as `llama-vid replay` prints it.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
import random
import time
from collections.abc import Callable
from typing import Final, Protocol

import httpx

from llama_vid.clients.webhook_options import WebhookOptions
from llama_vid.memory.outbox import Outgoing

logger = logging.getLogger(__name__)

# Its own, so that a program's seeded `random` is never advanced behind its back.
_jitter = random.Random()

#: Seconds for one attempt: receivers are asked to answer first and work then.
ATTEMPT_SECONDS: Final = 15.0
#: Seconds between attempts: doubled up to the longest, and spread.
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0
#: Changes read from the outbox at a time.
AT_A_TIME: Final = 50
#: Statuses that are about this very message; the next one may fare better. All others are about the receiver.
UNWANTED: Final = frozenset({400, 413, 422})


class Outbox(Protocol):
    """`llama_vid.memory.alert_log.AlertLog`, as far as it is used here."""

    def undelivered(self, channel: str, limit: int = 100) -> list[Outgoing]: ...
    def delivered(self, channel: str, seq: int) -> None: ...
    async def more(self, after: int) -> None: ...
    @property
    def at_hand(self) -> int: ...


def signed(key: bytes, name: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of a message."""
    digest = hmac.digest(key, f"{name}.{at}.".encode() + body, "sha256")
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": name, "webhook-timestamp": str(at), "webhook-signature": signature}


class Webhook:
    """One receiver. `run` delivers until it is cancelled; `reason` says what is wrong, "" if nothing."""

    def __init__(
        self,
        options: WebhookOptions,
        alerts: Outbox,
        *,
        clock: Callable[[], float] = time.time,
        first_wait: float = FIRST_WAIT,
        longest_wait: float = LONGEST_WAIT,
    ) -> None:
        self._options, self._alerts, self._clock = options, alerts, clock
        self._first_wait, self._longest_wait = first_wait, longest_wait
        self.reason = ""
        self.count = 0

    async def run(self) -> None:
        """Deliver what comes, in order. Certificates are verified and redirects are not followed."""
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log every URL, which may hold a key
        channel = self._options.channel
        async with httpx.AsyncClient(timeout=ATTEMPT_SECONDS, follow_redirects=False) as client:
            while True:
                try:
                    await self._next(client, channel)
                except Exception:  # the edge: what breaks here must not take the cameras along
                    logger.exception("webhook to %s: the delivery failed", self._options.host)
                    await asyncio.sleep(self._longest_wait)

    async def _next(self, client: httpx.AsyncClient, channel: str) -> None:
        """What waits, or wait for it."""
        at_hand = self._alerts.at_hand
        batch = await asyncio.to_thread(self._alerts.undelivered, channel, AT_A_TIME)
        for out in batch:
            if self._options.wants(out):
                await self._deliver(client, out)
            self._alerts.delivered(channel, out.seq)
        if not batch:
            await self._alerts.more(at_hand)

    async def _deliver(self, client: httpx.AsyncClient, out: Outgoing) -> None:
        """Try until the receiver has it, or says that it never wants it."""
        body = json.dumps(out.change.to_json(), ensure_ascii=False).encode(errors="replace")
        wait = self._first_wait
        while True:
            problem, asked = await self._attempt(client, f"msg_{out.seq}", body)
            if not problem:
                if self.reason:
                    logger.info("webhook to %s: delivered again", self._options.host)
                self.reason = ""
                self.count += 1
                return
            if asked is None and problem.startswith("unwanted"):
                logger.warning("webhook to %s: %s; this alert is left out", self._options.host, problem)
                return
            level = logging.DEBUG if problem == self.reason else logging.WARNING
            logger.log(level, "webhook to %s: %s; trying again", self._options.host, problem)
            self.reason = problem
            await asyncio.sleep(max(wait * _jitter.uniform(0.75, 1.0), min(asked or 0.0, self._longest_wait)))
            wait = min(wait * 2, self._longest_wait)

    async def _attempt(self, client: httpx.AsyncClient, name: str, body: bytes) -> tuple[str, float | None]:
        """What went wrong, "" if nothing, and how long the receiver asks to wait."""
        headers = signed(self._options.secret, name, int(self._clock()), body) | {"content-type": "application/json"}
        try:
            async with client.stream("POST", self._options.url, content=body, headers=headers) as response:
                status, after = response.status_code, response.headers.get("retry-after", "")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as problem:
            # httpx's texts may quote the URL; the kind of error says enough.
            said = "certificate" if "CERTIFICATE_VERIFY_FAILED" in str(problem) else type(problem).__name__
            return f"it cannot be reached ({said})", None
        if 200 <= status < 300:
            return "", None
        if status in UNWANTED:
            return f"unwanted: it answers {status}", None
        if 300 <= status < 400:
            return f"it answers {status}, a redirect, which is not followed; give the final url", None
        return f"it answers {status}", float(after) if after.isascii() and after.isdigit() else None
