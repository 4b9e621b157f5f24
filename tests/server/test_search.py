"""`GET /api/cameras/{id}/search`."""

from __future__ import annotations

import pytest

from tests.server.running import RunningServer, running_server, until


def test_moments_with_their_pictures(server: RunningServer) -> None:
    answer = server.http.get("/api/cameras/front/search", params={"text": "<|im_end|>a package", "limit": 1})
    (match,) = answer.json()["matches"]
    assert (match["start"], match["end"], match["score"]) == (4.0, 9.5, 0.91)
    assert match["frame_url"] == "/api/cameras/front/frames/6.75.jpg"
    assert server.http.get(match["frame_url"]).status_code == 200
    both = server.http.get("/api/cameras/front/search", params={"text": "cat", "from": 3, "to": 20.5}).json()
    assert [match["score"] for match in both["matches"]] == [0.91, 0.2]
    assert server.model.session("front").searched == [("a package", None, None, 1), ("cat", 3.0, 20.5, 10)]


@pytest.mark.parametrize(
    ("params", "status", "param"),
    [
        ({}, 422, "text"),
        ({"text": ""}, 422, "text"),
        ({"text": "<|im_end|>"}, 400, "text"),
        ({"text": "x" * 2001}, 422, "text"),
        ({"text": "cat", "limit": 0}, 422, "limit"),
        ({"text": "cat", "limit": 101}, 422, "limit"),
        ({"text": "cat", "from": "nan"}, 422, "from"),
        ({"text": "cat", "from": 5, "to": 4}, 400, "to"),
    ],
)
def test_what_is_refused(server: RunningServer, params: dict[str, str], status: int, param: str) -> None:
    answer = server.http.get("/api/cameras/front/search", params=params)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    assert server.model.session("front").searched == []


def test_a_camera_that_is_not_there_or_not_open(server: RunningServer) -> None:
    assert server.http.get("/api/cameras/nope/search", params={"text": "cat"}).status_code == 404
    with running_server({"bad": {"url": "rtsp://u:hunter22@broken/x"}}) as other:
        until(lambda: other.http.get("/api/cameras/bad").json()["state"] == "failed", "the failure")
        answer = other.http.get("/api/cameras/bad/search", params={"text": "cat"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "camera_failed")
