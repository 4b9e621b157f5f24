"""A remote model that reads what the real one finds: recordings, and a camera behind the real websocket server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llama_vid.llm.remote_errors import RemoteFailure
from llama_vid.llm.remote_options import RemoteOptions
from tests.bundles import film, mini
from tests.peers.openai_server import DEFAULT, KEY, MODEL, OpenAIServer, Turn, openai_server
from tests.server.running import RunningServer, running_server, until

if TYPE_CHECKING:
    from llama_vid.film import Film
    from llama_vid.model import LLaMAVID

pytestmark = [pytest.mark.model]

SAID = "".join(DEFAULT)


@pytest.fixture(scope="module")
def running() -> Iterator[OpenAIServer]:
    with openai_server() as found:
        yield found


@pytest.fixture
def remote(running: OpenAIServer) -> OpenAIServer:
    running.reset()
    return running


@pytest.fixture(scope="module")
def model() -> LLaMAVID:
    bundle = mini()
    from llama_vid.model import LLaMAVID

    return LLaMAVID(bundle)


@pytest.fixture(scope="module")
def street(model: LLaMAVID) -> Film:
    return model.open(str(film()))


def asked_by(street: Film, remote: OpenAIServer, **more: Any) -> Film:
    """The film with a fresh remote model behind it."""
    from llama_vid.remote_answers import RemoteAnswers

    options = replace(RemoteOptions(remote.url, MODEL, KEY, retries=0), **more)
    street._remote = RemoteAnswers(options)
    return street


def test_frames_and_times_go_out_and_our_evidence_comes_back(street: Film, remote: OpenAIServer) -> None:
    remote.then.append(Turn(pieces=("Cars wait at 0:03, ", "and at 9:59 nothing.")))
    answer = asked_by(street, remote).ask("What is on the road?")
    assert answer.answer == "Cars wait at 0:03, and at 9:59 nothing."
    assert (answer.engine, answer.model, answer.note) == ("openai", MODEL, "")
    assert answer.timestamps == [3.0]
    assert [(item.start, item.end) for item in answer.evidence] == [(3.0, 4.0)]
    (sent,) = remote.requests
    assert not remote.refused
    assert 4 <= len(sent.images) <= 8
    assert "at 0:03:\n[image]" in sent.text
    assert sent.text.endswith("Question: What is on the road?")


def test_times_are_computed_and_said_before_the_remote_model_speaks(street: Film, remote: OpenAIServer) -> None:
    local = asked_by(street, remote).stream("When is a car seen?")
    pieces = [piece for piece in local if piece.delta or piece.answer]
    computed = pieces[0].delta
    assert computed.startswith("At 0:0")
    answer = pieces[-1].answer
    assert answer is not None
    assert answer.answer == f"{computed} {SAID}"
    assert answer.evidence
    assert f"“{computed}”" in remote.requests[0].text


def test_a_computed_answer_needs_no_remote_model(street: Film, remote: OpenAIServer) -> None:
    remote.then.append(Turn(status=500))
    answer = asked_by(street, remote).ask("When is a car seen?")
    assert answer.answer.startswith("At 0:0")
    assert (answer.engine, len(remote.requests)) == ("local", 1)
    assert "failed (500" in answer.note


def test_what_memory_does_not_reach_is_not_asked_elsewhere(street: Film, remote: OpenAIServer) -> None:
    answer = asked_by(street, remote).ask("What happened between 5:00 and 6:00?")
    assert answer.answer.startswith("I cannot say")
    assert not remote.requests


def test_the_local_model_answers_where_the_remote_one_fails(street: Film, remote: OpenAIServer) -> None:
    remote.then.append(Turn(status=500))
    film = asked_by(street, remote)
    answer = film.ask("Is there a car?")
    assert answer.answer.startswith(("Yes", "No"))
    assert (answer.engine, answer.model) == ("local", "mini")
    assert "failed (500" in answer.note
    assert film._remote is not None
    assert dict(film._remote.counts.fallbacks) == {"server": 1}


def test_half_an_answer_is_never_joined_to_another_one_silently(street: Film, remote: OpenAIServer) -> None:
    remote.then.append(Turn(finish=None))
    answer = asked_by(street, remote).ask("Is there a car?")
    first, mark, rest = answer.answer.partition("[The remote model broke off here. The local model answers:]")
    assert first.strip() == SAID
    assert mark
    assert rest.strip().startswith(("Yes", "No"))
    assert answer.engine == "openai, then local"


def test_without_a_fall_back_the_failure_is_the_answer(street: Film, remote: OpenAIServer) -> None:
    remote.then.append(Turn(status=401))
    with pytest.raises(RemoteFailure, match="refuses the key"):
        asked_by(street, remote, fallback=False).ask("Is there a car?")


def test_no_pictures_leave_where_none_may(street: Film, remote: OpenAIServer) -> None:
    answer = asked_by(street, remote, max_images=0).ask("What is on the road?")
    assert answer.answer == SAID
    assert not remote.requests[0].images
    assert "Scenes:" in remote.requests[0].text


@pytest.fixture
def server(remote: OpenAIServer, tmp_path: Path) -> Iterator[RunningServer]:
    """The real server on a file that says `llm.engine: openai`, with the sample film as its camera."""
    mini()
    key, settings = tmp_path / "key", tmp_path / "llama-vid.yaml"
    key.write_text(KEY + "\n")
    settings.write_text(f"""
server: {{port: 0}}
memory: {{path: memory}}
llm:
  engine: openai
  openai: {{base_url: "{remote.url}", model: {MODEL}, api_key_file: key, retries: 0, cameras: [front]}}
cameras:
  front: {{url: "file:{film()}"}}
  garden: {{url: "file:{film()}"}}
""")
    with running_server(file=settings, memory=tmp_path / "memory", real_model=True, ready=False) as running:
        until(lambda: running.http.get("/readyz").status_code == 200, "the model", 60)
        until(lambda: watched(running) >= 5, "some seconds of both cameras", 60)
        yield running


def watched(server: RunningServer) -> float:
    text = server.http.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("llama_vid_camera_watched_seconds{")]
    return min((float(line.split()[-1]) for line in lines), default=0.0) if len(lines) == 2 else 0.0


def test_a_live_camera_is_read_by_the_remote_model(server: RunningServer, remote: OpenAIServer) -> None:
    from websockets.sync.client import connect

    with connect(server.ws, proxy=None) as socket:

        def ask(camera: str, question: str) -> tuple[str, dict[str, Any]]:
            said, message = "", dict[str, Any]()
            request = {"camera": camera, "question": question, "conversation": "c1"}
            socket.send(json.dumps({"type": "response.create", "event_id": "e1"} | request))
            while message.get("type") != "response.done":
                message = json.loads(socket.recv(60))
                said += message["delta"] if message["type"] == "response.output_text.delta" else ""
            return said, message

        said, done = ask("front", "What is on the road?")
        assert (said, done["answer"], done["status"]) == (SAID, SAID, "completed")
        assert done["usage"]["engine"] == "openai"
        assert done["evidence"]
        assert server.http.get(done["evidence"][0]["frame_url"]).headers["content-type"] == "image/jpeg"
        assert remote.requests[0].images
        ask("front", "And what colour is it?")
        assert f"What is on the road? You answered: {SAID}" in remote.requests[1].text
        # A camera that is not named stays here, and so do all of them when the server fails.
        said, done = ask("garden", "Is there a car?")
        assert (done["usage"]["engine"], len(remote.requests)) == ("local", 2)
        assert "llm.openai.cameras" in done["usage"]["note"]
        remote.then.append(Turn(status=500))
        said, done = ask("front", "Is there a car?")
        assert (done["status"], done["usage"]["engine"]) == ("completed", "local")
        assert "failed (500" in done["usage"]["note"]
        metrics = server.http.get("/metrics").text
        assert 'llama_vid_remote_requests_total{outcome="answered"} 2.0' in metrics
        assert 'llama_vid_remote_requests_total{outcome="failed"} 1.0' in metrics
        assert 'llama_vid_remote_fallbacks_total{kind="server"} 1.0' in metrics
        assert 'llama_vid_remote_tokens_total{kind="prompt"} 200.0' in metrics
        assert KEY not in metrics
