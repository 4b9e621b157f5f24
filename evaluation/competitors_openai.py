"""A vision model behind an OpenAI-compatible API (GPT-4V class): evenly spread frames as pictures, and the question.

Every answer is kept in a file as it comes and is never asked for twice: neither by a run that was interrupted, nor by
the next one. A run sends at most so many requests; the official client repeats what failed for a moment (429, 5xx, no
connection). How many tokens the frames cost is what the API says: the prompt's tokens with them less those without.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from PIL import Image

from evaluation.sampling import evenly
from evaluation.systems_options import ApiOptions
from evaluation.systems_record import append_line, json_lines
from evaluation.systems_run import Heard, Limited, Seen
from llama_vid.errors import ConfigError, ProtocolError

#: Frames of a clip, as our own baseline `full` reads.
FRAMES: Final = 8
#: A picture's longest side in pixels and its JPEG quality: some 40 kB each.
SIDE, QUALITY = 768, 85
#: The longest answer in tokens; as our own, with room for the words around a yes.
ANSWER_TOKENS: Final = 48
#: Seconds that one request may take, and how often the client tries again.
TIMEOUT_S, RETRIES = 60.0, 4
#: What is asked for behind a question of each set.
WORDS: Final = {"yesno": "Answer yes or no.", "open": "Answer in one short sentence."}
FRAMES_ARE: Final = "These are {count} frames of a video, evenly spread, in order."
KEY: Final = "OPENAI_API_KEY"
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Api:
    """A model at an API as a `System`. `kept` is the JSON-lines file of all answers."""

    def __init__(self, model: str, kept: Path, options: ApiOptions, frames: int | None = None) -> None:
        """Raises ConfigError without a key, or where the key would travel unprotected."""
        try:
            from openai import OpenAI
        except ModuleNotFoundError:
            raise ConfigError('--system openai needs the package openai: pip install "llama-vid-live[eval]"') from None
        url = options.base_url or os.environ.get("OPENAI_BASE_URL", "")
        self._client = OpenAI(api_key=_key(options, url), base_url=url or None, timeout=TIMEOUT_S, max_retries=RETRIES)
        self._model, self._frames, self._path = model, frames or FRAMES, kept
        self._left = options.max_requests
        self._answers = {str(line.get("key")): line for line in json_lines(kept)}
        self._pictures: list[str] = []
        self._first: dict[str, Any] | None = None  # the clip's first answer, and what was asked
        where = urlsplit(url).hostname or "api.openai.com"
        self.identity = f"openai {model} at {url or where}, {self._frames} frames of {SIDE}, {WORDS}"
        self.label = f"{model} at {where}"
        words = "; ".join(f'{asked}: "{text}"' for asked, text in WORDS.items())
        self.notes = f"{self._frames} frames, evenly spread, up to {SIDE} pixels wide; {words}"
        self._clip = ""

    def take(self, clip: Path) -> None:
        """Decode the clip's frames. Raises SourceError."""
        sampled = evenly(clip, self._frames)
        self._pictures = [_data_url(Image.fromarray(image)) for image in sampled.images]
        self._clip, self._first = clip.name, None

    def answer(self, asked: str, question: str) -> Heard:
        """The model's words; yes or no is their first one. Raises Limited, ConfigError or ProtocolError."""
        found = self._asked(asked, question, self._pictures)
        self._first = self._first or found
        return Heard(str(found["text"]), seconds=float(found.get("seconds", 0.0)))

    def blind(self, asked: str, question: str) -> None:
        """Not asked: it would cost as many requests again."""
        return

    def seen(self) -> Seen:
        """Frames that were sent, and the prompt's tokens with them less those of the same request without them; None
        where the API does not count.
        """
        first = self._first
        if first is None or not isinstance(first.get("prompt_tokens"), int):
            return Seen(len(self._pictures), None)
        without = self._asked(str(first["asked"]), str(first["question"]), []).get("prompt_tokens")
        tokens = int(first["prompt_tokens"]) - without if isinstance(without, int) else None
        return Seen(len(self._pictures), tokens)

    def _asked(self, asked: str, question: str, pictures: list[str]) -> dict[str, Any]:
        """The kept answer to a request, or a new one, which is kept at once."""
        request = self._request(asked, question, pictures)
        key = hashlib.sha256(json.dumps([str(self._client.base_url), request]).encode()).hexdigest()
        known = self._answers.get(key)
        if known is not None:
            return known
        if self._left <= 0:
            raise Limited
        self._left -= 1
        began = time.perf_counter()
        found = self._sent(request) | {"seconds": round(time.perf_counter() - began, 4)}
        about = {"clip": self._clip if pictures else "", "asked": asked, "question": question, "frames": len(pictures)}
        found = {"key": key, "model": self._model} | about | found
        append_line(self._path, found)
        self._answers[key] = found
        return found

    def _request(self, asked: str, question: str, pictures: list[str]) -> dict[str, Any]:
        text = f"{question}\n{WORDS[asked]}"
        if pictures:
            text = f"{FRAMES_ARE.replace('{count}', str(len(pictures)))}\n{text}"
        content: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
        content.append({"type": "text", "text": text})
        messages = [{"role": "user", "content": content}]
        return {"model": self._model, "messages": messages, "max_completion_tokens": ANSWER_TOKENS, "temperature": 0}

    def _sent(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request. Raises ConfigError for what no other clip would change, ProtocolError for the rest."""
        import openai

        try:
            done = self._client.chat.completions.create(**request)
        except (openai.AuthenticationError, openai.PermissionDeniedError) as problem:
            raise ConfigError(f"{self.label} refuses the key (HTTP {problem.status_code}); check {KEY}") from None
        except openai.NotFoundError as problem:
            raise ConfigError(f"{self.label}: no such model or address (HTTP {problem.status_code})") from None
        except openai.APIStatusError as problem:
            message = problem.body.get("message") if isinstance(problem.body, dict) else None
            raise ProtocolError(f"{self.label} answered HTTP {problem.status_code}: {message or 'no reason'}") from None
        except openai.APIConnectionError as problem:  # time-outs too
            raise ProtocolError(f"{self.label} does not answer: {problem}") from None
        text = (done.choices[0].message.content or "") if done.choices else ""
        return {"text": " ".join(text.split()), "prompt_tokens": done.usage.prompt_tokens if done.usage else None}


def _key(options: ApiOptions, url: str) -> str:
    """The API's key; a server of one's own that is named needs none. Raises ConfigError."""
    if options.key_file is not None:
        try:
            key = options.key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ConfigError(f"--key-file {options.key_file} cannot be read") from None
    else:
        key = os.environ.get(KEY, "").strip()
    if not key and not url:
        raise ConfigError(f"--system openai needs a key: set {KEY}, or name a file that holds it with --key-file")
    parts = urlsplit(url)
    if key and parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ConfigError(f"the key would go to {parts.hostname} unprotected; use https: for --base-url")
    return key or "none"


def _data_url(picture: Image.Image) -> str:
    """A picture as the API takes it: a data URL of a JPEG."""
    picture.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
