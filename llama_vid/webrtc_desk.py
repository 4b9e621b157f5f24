"""WebRTC in the running server: ICE servers, cameras that are published to, and who watches."""

from __future__ import annotations

import asyncio
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Self

from llama_vid.live_types import Ingest
from llama_vid.settings_webrtc import WebrtcSettings
from llama_vid.stream.ice import IceServer, link_header
from llama_vid.stream.view import View

if TYPE_CHECKING:
    from llama_vid.stream.whep import Viewers, WhepAnswer


class WebrtcDesk:
    """Makes what cameras need of WebRTC, and holds the viewers from `async with` to its end.

    aiortc and av are imported when they are first needed.
    """

    def __init__(self, settings: WebrtcSettings) -> None:
        """Raises ConfigError where a TURN server's credential cannot be read."""
        self._settings = settings
        self.ice: tuple[IceServer, ...] = tuple(server.read() for server in settings.ice_servers)
        self._viewers: Viewers | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._viewers is not None:
            await self._viewers.__aexit__(kind, error, trace)

    @property
    def links(self) -> dict[str, str]:
        """The `Link` header that announces the ICE servers, if there are any."""
        return link_header(self.ice)

    def ingest(self, name: str, fps: float) -> Ingest:
        """The source of a camera that is published to."""
        from llama_vid.stream.whip import WhipIngest

        return WhipIngest(name, fps=fps, ice=self.ice)

    def view(self, name: str) -> View:
        """What viewers see of a camera."""
        return View(name, fps=self._settings.encoded_fps, longest_side=self._settings.encoded_side)

    async def watch(self, camera: str, view: View, sdp: str) -> WhepAnswer:
        """Take a viewer in. Raises ProtocolError."""
        return await (await self._those()).offer(camera, view, sdp)

    async def leave(self, camera: str, resource_id: str) -> None:
        """End a viewer's session. Raises ProtocolError (`not_found`)."""
        await (await self._those()).close(camera, resource_id)

    def watching(self, camera: str) -> int:
        """How many watch a camera."""
        return self._viewers.count(camera) if self._viewers is not None else 0

    async def _those(self) -> Viewers:
        if self._viewers is None:
            whep = await asyncio.to_thread(import_module, "llama_vid.stream.whep")  # half a second
        if self._viewers is None:
            settings = self._settings
            self._viewers = whep.Viewers(most=settings.max_viewers, most_encoded=settings.max_encoded, ice=self.ice)
            await self._viewers.__aenter__()
        return self._viewers
