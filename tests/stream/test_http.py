"""HTTP: files, HLS on demand and live, and what a playlist must not be able to do."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llama_vid.errors import SourceError
from llama_vid.stream.file import FileSource
from llama_vid.stream.live import LiveSource
from llama_vid.stream.opening import open_source
from tests.peers.http import WebServer, cut_pieces
from tests.peers.video import make_video, painted_seconds


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A web server with a film, its pieces, and playlists."""
    folder = tmp_path_factory.mktemp("site")
    film = make_video(folder / "film.mp4", seconds=30, fps=10, group=10, b_frames=0)
    cut_pieces(film, folder)
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\n"
    (folder / "thief.m3u8").write_text(f"{head}file://{folder}/seg0.ts\n#EXT-X-ENDLIST\n")
    with WebServer(folder) as server:
        yield server


def test_a_film_on_a_web_server_is_a_recording(site: WebServer) -> None:
    source = open_source(site.url("film.mp4"))
    assert isinstance(source, FileSource)
    frames = list(source)
    assert [(frame.seconds, painted_seconds(frame.image)) for frame in frames] == [(k, k) for k in range(30)]


def test_hls_on_demand_can_be_read_as_a_recording(site: WebServer) -> None:
    source = open_source(site.url("film.m3u8"), live=False)
    assert isinstance(source, FileSource)
    assert [painted_seconds(frame.image) for frame in source] == list(range(30))


async def test_live_hls_plays_at_its_own_pace(site: WebServer) -> None:
    source = open_source(site.url("live.m3u8"))
    assert isinstance(source, LiveSource)
    async with source, asyncio.timeout(40):
        frames = [await source.recv() for _ in range(6)]
        taken_at = time.time()
    steps = list(itertools.pairwise(frames))
    assert all(b.seconds - a.seconds == pytest.approx(1.0, abs=0.35) for a, b in steps)
    assert all(painted_seconds(b.image) - painted_seconds(a.image) == pytest.approx(1.0, abs=0.35) for a, b in steps)
    # The pieces come several at once, but their pictures do not come from the future.
    assert abs(frames[-1].seconds - taken_at) < 2


@pytest.mark.parametrize(
    ("path", "message"),
    [("nothing.mp4", "was not found on that host .404.: check the path"), ("locked.mp4", "refused the user name")],
)
def test_errors_are_clear_and_without_the_password(site: WebServer, path: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        list(FileSource(site.url(path, "bob:hush-hush@")))
    assert "hush" not in str(caught.value)
    assert "bob" not in str(caught.value)


def test_a_playlist_from_the_web_cannot_name_local_files(site: WebServer) -> None:
    with pytest.raises(SourceError):
        list(FileSource(site.url("thief.m3u8")))
    # The same playlist lying beside the file works: nothing but the address makes the difference.
    assert len(list(FileSource(site.folder / "thief.m3u8"))) == 1


def test_a_local_playlist_cannot_name_addresses(site: WebServer, tmp_path: Path) -> None:
    playlist = tmp_path / "list.m3u8"
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\n"
    playlist.write_text(f"{head}{site.url('seg0.ts')}\n#EXT-X-ENDLIST\n")
    with pytest.raises(SourceError):
        list(FileSource(playlist))
    (site.folder / "list.m3u8").write_text(playlist.read_text())
    assert len(list(FileSource(site.url("list.m3u8")))) == 1


def test_a_list_of_files_is_no_video(ten_seconds: Path, tmp_path: Path) -> None:
    listing = tmp_path / "list.ffconcat"
    listing.write_text(f"ffconcat version 1.0\nfile '{ten_seconds}'\n")
    with pytest.raises(SourceError):
        list(FileSource(listing))
