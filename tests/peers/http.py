"""A web server on loopback that serves a folder, and a live HLS playlist that grows as time goes on."""

from __future__ import annotations

import functools
import http.server
import time
from pathlib import Path
from typing import Self

import av

from tests.peers.threaded import ThreadedServer


class WebServer(ThreadedServer):
    """`with WebServer(folder) as server: server.url("film.mp4")`. `/live.m3u8` plays the folder's pieces as if live."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(functools.partial(_Handler, directory=str(folder)), "web server")

    def url(self, path: str, sign_in: str = "") -> str:
        return f"http://{sign_in}127.0.0.1:{self.port}/{path}"

    def __enter__(self) -> Self:
        _Handler.started = time.monotonic()
        return super().__enter__()


class _Handler(http.server.SimpleHTTPRequestHandler):
    started = 0.0

    def do_GET(self) -> None:
        if self.path == "/locked.mp4":
            self.send_error(401)
        elif self.path == "/live.m3u8":
            self._live()
        else:
            super().do_GET()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: pytest's output is for pytest."""

    def _live(self) -> None:
        """The newest four one-second pieces of a stream that began four seconds before the server did."""
        last = 4 + int(time.monotonic() - self.started)
        head = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{last - 4}\n"
        text = head + "".join(f"#EXTINF:1.0,\nseg{n}.ts\n" for n in range(last - 4, last))
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.apple.mpegurl")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def cut_pieces(film: Path, folder: Path) -> Path:
    """Cut a film with a key frame a second into one-second pieces seg0.ts, seg1.ts, … and a playlist; gives that."""
    playlist = folder / "film.m3u8"
    options = {"hls_time": "1", "hls_list_size": "0", "hls_segment_filename": str(folder / "seg%d.ts")}
    with av.open(str(film)) as source, av.open(str(playlist), "w", format="hls", options=options) as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    return playlist
