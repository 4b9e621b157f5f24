"""Many RTSP cameras out of a few encoded files, from one process that only hands packets on.

Run by the system's Python, which has GStreamer's bindings (see demo/rtsp_camera.py):

    /usr/bin/python3 benchmarks/rtsp_wall.py --count 30 one.mp4 two.mp4

serves rtsp://127.0.0.1:PORT/0 … /29, the files in turn, each watcher from the file's start. It prints `ready PORT` when
it serves. Nothing is decoded or encoded. `--check` only says whether everything is here (status 0 or 3).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer
except (ImportError, ValueError) as error:
    print(
        f"GStreamer's RTSP server is missing ({error}): apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi",
        file=sys.stderr,
    )
    sys.exit(3)

NEEDED = ("qtdemux", "h264parse", "rtph264pay")


def camera(film: Path) -> GstRtspServer.RTSPMediaFactory:
    """A stream of the file's packets; every watcher has its own, so that none waits for another."""
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(False)
    factory.set_launch(
        f'( filesrc location="{film}" ! qtdemux ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 )'
    )
    return factory


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve encoded files as many RTSP cameras.")
    parser.add_argument("films", nargs="*", type=lambda text: Path(text).resolve(), help="H.264 in MP4")
    parser.add_argument("--count", type=int, default=1, help="cameras")
    parser.add_argument("--check", action="store_true", help="only say whether everything is installed")
    arguments = parser.parse_args()
    Gst.init(None)
    missing = [name for name in NEEDED if not Gst.ElementFactory.find(name)]
    if missing:
        print(f"GStreamer has no {missing[0]}: apt-get install gstreamer1.0-plugins-good -bad", file=sys.stderr)
        sys.exit(3)
    if arguments.check:
        return
    if not arguments.films or not all(film.is_file() for film in arguments.films):
        parser.error("give files that are there")
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    server.set_backlog(256)
    for number in range(arguments.count):
        server.get_mount_points().add_factory(f"/{number}", camera(arguments.films[number % len(arguments.films)]))
    if not server.attach(None):
        print("No port could be opened.", file=sys.stderr)
        sys.exit(1)
    print(f"ready {server.get_bound_port()}", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
