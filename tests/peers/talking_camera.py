"""A real RTSP camera with a microphone: a test picture in H.264, and a tick each second in G.711 at 8 kHz.

Run by the system's Python, which has GStreamer's bindings; prints `ready URL` when it serves.
"""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

LAUNCH = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=180,framerate=10/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 threads=1 ! rtph264pay name=pay0 pt=96 "
    "audiotestsrc is-live=true wave=ticks tick-interval=1000000000 samplesperbuffer=160 "
    "! audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay name=pay1 pt=0 )"
)


def main() -> None:
    Gst.init(None)
    server, camera = GstRtspServer.RTSPServer(), GstRtspServer.RTSPMediaFactory()
    server.set_address("127.0.0.1")
    server.set_service("0")
    camera.set_launch(LAUNCH)
    camera.set_shared(True)
    server.get_mount_points().add_factory("/live", camera)
    if not server.attach(None):
        sys.exit(1)
    print(f"ready rtsp://127.0.0.1:{server.get_bound_port()}/live", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
