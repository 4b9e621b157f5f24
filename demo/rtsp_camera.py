"""A real RTSP camera out of a video file: loops it for ever as live H.264 with a key frame each second.

Run it with the system's Python, which has GStreamer's bindings (Debian: python3-gi, gir1.2-gst-rtsp-server-1.0,
gstreamer1.0-plugins-good, -bad, -ugly, gstreamer1.0-libav):

    /usr/bin/python3 demo/rtsp_camera.py film.mp4 --port 8554 [--user name --password-file FILE] [--path /live]

Without a file it shows GStreamer's test picture. `--check` only says whether everything is here (status 0 or 3).
When it serves it prints one line, `ready rtsp://127.0.0.1:PORT/PATH`.
"""

from __future__ import annotations

import argparse
import sys
import threading
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

ENCODERS = {
    "x264enc": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={rate} bitrate=1500 threads=1 bframes=0",
    "openh264enc": "openh264enc gop-size={rate} bitrate=1500000 complexity=low",
}


def encoder(rate: int) -> str:
    """GStreamer's description of the first H.264 encoder that is installed. Raises LookupError when none is."""
    for name, line in ENCODERS.items():
        if Gst.ElementFactory.find(name):
            return line.format(rate=rate)
    raise LookupError("No H.264 encoder: apt-get install gstreamer1.0-plugins-ugly")


class Player:
    """Plays the film in real time, over and over, whether anybody watches or not, and gives each picture on."""

    def __init__(self, film: Path | None, width: int, height: int, rate: int) -> None:
        head = "videotestsrc is-live=true pattern=ball" if film is None else f'filesrc location="{film}" ! decodebin'
        self.caps = f"video/x-raw,format=I420,width={width},height={height},framerate={rate}/1,pixel-aspect-ratio=1/1"
        self._pipeline = Gst.parse_launch(
            f"{head} ! videoconvert ! videoscale ! videorate ! {self.caps} ! appsink name=out sync=true max-buffers=2"
        )
        self._out = self._pipeline.get_by_name("out")
        self._listeners: list[Gst.Element] = []
        self._lock = threading.Lock()

    def add(self, appsrc: Gst.Element) -> None:
        with self._lock:
            self._listeners.append(appsrc)

    def remove(self, appsrc: Gst.Element) -> None:
        with self._lock:
            self._listeners = [other for other in self._listeners if other is not appsrc]

    def run(self) -> None:
        self._pipeline.set_state(Gst.State.PLAYING)
        while True:
            sample = self._out.emit("pull-sample")
            if sample is None:  # the film is over: again from the start
                self._pipeline.seek_simple(Gst.Format.TIME, Gst.SeekFlags.FLUSH | Gst.SeekFlags.ACCURATE, 0)
                self._pipeline.get_state(5 * Gst.SECOND)
                continue
            data = sample.get_buffer().extract_dup(0, sample.get_buffer().get_size())
            with self._lock:
                listeners = list(self._listeners)
            for appsrc in listeners:
                # Stamped on arrival (do-timestamp): one clock that goes on over the film's loops.
                appsrc.emit("push-buffer", Gst.Buffer.new_wrapped(data))


class Camera(GstRtspServer.RTSPMediaFactory):
    """One shared H.264 stream of the player's pictures."""

    def __init__(self, player: Player, rate: int) -> None:
        super().__init__()
        self._player = player
        self.set_shared(True)
        self.set_launch(
            "( appsrc name=in is-live=true format=time do-timestamp=true block=false max-bytes=8000000 "
            f"caps={player.caps} ! {encoder(rate)} ! video/x-h264,profile=baseline "
            "! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 )"
        )

    def do_configure(self, media: GstRtspServer.RTSPMedia) -> None:
        GstRtspServer.RTSPMediaFactory.do_configure(self, media)
        source = media.get_element().get_by_name_recurse_up("in")
        self._player.add(source)
        media.connect("unprepared", lambda _media: self._player.remove(source))


def serve(arguments: argparse.Namespace) -> None:
    """Serve until the process is ended."""
    player = Player(arguments.film, arguments.width, arguments.height, arguments.rate)
    camera = Camera(player, arguments.rate)
    server = GstRtspServer.RTSPServer()
    server.set_address(arguments.host)
    server.set_service(str(arguments.port))
    if arguments.user:
        password = arguments.password_file.read_text().strip()
        rights = GstRtspServer.RTSPPermissions()
        for right in ("media.factory.access", "media.factory.construct"):
            rights.add_permission_for_role("viewer", right, True)
        camera.set_permissions(rights)
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth = GstRtspServer.RTSPAuth()
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(arguments.user, password), token)
        server.set_auth(auth)
    server.get_mount_points().add_factory(arguments.path, camera)
    if not server.attach(None):
        print(f"Port {arguments.port} is taken: choose another one with --port.", file=sys.stderr)
        sys.exit(1)
    threading.Thread(target=player.run, name="player", daemon=True).start()
    print(f"ready rtsp://{arguments.host}:{server.get_bound_port()}{arguments.path}", flush=True)
    GLib.MainLoop().run()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a video file as a live RTSP camera.")
    parser.add_argument(
        "film", nargs="?", type=lambda text: Path(text).resolve(), help="any video file; none: a test picture"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--path", default="/live")
    parser.add_argument("--user", default="")
    parser.add_argument("--password-file", type=Path, help="a file that holds the password")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--rate", type=int, default=15, help="pictures a second")
    parser.add_argument("--check", action="store_true", help="only say whether everything is installed")
    arguments = parser.parse_args()
    Gst.init(None)
    try:
        encoder(arguments.rate)
    except LookupError as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    if arguments.check:
        return
    if arguments.film is not None and not arguments.film.is_file():
        parser.error(f"there is no file {arguments.film}")
    if arguments.user and arguments.password_file is None:
        parser.error("--user needs --password-file")
    serve(arguments)


if __name__ == "__main__":
    main()
