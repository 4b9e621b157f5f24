"""The cameras of a running server: each in its own task, started, replaced and removed without touching the others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from llama_vid.alert_desk import AlertDesk
from llama_vid.caption_desk import CaptionDesk
from llama_vid.clients.live import StatusListener
from llama_vid.errors import ConfigError, LlamaVidError, ProtocolError
from llama_vid.listeners import Listeners
from llama_vid.live_types import Ingest, IngestMaker, LiveModel, LiveSession
from llama_vid.log_format import logged_with
from llama_vid.settings import CameraSettings
from llama_vid.settings_alerts import engine_rules
from llama_vid.settings_privacy import polygons
from llama_vid.stream.urls import redact_text
from llama_vid.stream.view import View

logger = logging.getLogger(__name__)

#: A camera that could not be opened is tried again after 2 s, then ever later, up to 60 s: a camera boots in a minute.
RETRY_FIRST_S, RETRY_MOST_S = 2.0, 60.0


#: Has the journal forget something, again if need be.
Erase = Callable[[], Awaitable[None]]


@dataclass(slots=True, eq=False)
class Camera:
    """One camera as the desk knows it. `session` is None until the model is there and the source was opened."""

    name: str
    settings: CameraSettings
    ingest: Ingest | None
    view: View
    state: str = "connecting"
    reason: str = ""
    session: LiveSession | None = None
    task: asyncio.Task[None] | None = None
    #: What was to be forgotten while there was no session: one that is just opening may have read it back already.
    to_forget: list[tuple[float, float, Erase]] = field(default_factory=list)


class CameraDesk:
    """Owns the cameras from `async with` to its end. All methods run in the event loop's thread."""

    def __init__(
        self, make_ingest: IngestMaker, alerts: AlertDesk | None = None, make_view: Callable[[str], View] = View
    ) -> None:
        self.alerts = alerts or AlertDesk()
        self.captions = CaptionDesk()
        self._make_ingest, self._make_view = make_ingest, make_view
        self._cameras: dict[str, Camera] = {}
        self._listeners: Listeners[StatusListener] = Listeners()
        self._followers: Listeners[Callable[[str], None]] = Listeners()
        self._model: asyncio.Future[LiveModel] | None = None
        self._model_failure = ""
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> CameraDesk:
        self._model = asyncio.get_running_loop().create_future()
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        for camera in self._cameras.values():
            if camera.task is not None:
                camera.task.cancel()
        await self._group.__aexit__(None, None, None)

    def use_model(self, model: LiveModel) -> None:
        """Gives the loaded model to the cameras that wait for it."""
        if self._model is None or self._model.done():
            raise RuntimeError("the desk is not open, or has its model already")
        self._model.set_result(model)

    def give_up(self, reason: str) -> None:
        """Tells the cameras that there will be no model."""
        self._model_failure = reason
        for camera in self._cameras.values():
            self._tell(camera, "failed", reason)

    @property
    def model_name(self) -> str | None:
        """The loaded model's name."""
        return self._model.result().name if self._model is not None and self._model.done() else None

    def names(self) -> list[str]:
        """The cameras' names, sorted."""
        return sorted(self._cameras)

    def find(self, name: str) -> Camera | None:
        """One camera, None if there is none of that name."""
        return self._cameras.get(name)

    def camera(self, name: str) -> Camera:
        """One camera. Raises ProtocolError with code no_such_camera."""
        found = self.find(name)
        if found is None:
            known = ", ".join(self.names()[:20]) or "there are none yet"
            raise ProtocolError(f"No camera {name[:64]!r}; known: {known}.", code="no_such_camera", param="camera")
        return found

    def status(self, name: str) -> tuple[str, str]:
        """State and reason of a camera. Raises ProtocolError with code no_such_camera."""
        camera = self.camera(name)
        return camera.state, camera.reason

    def askable(self, name: str) -> LiveSession:
        """The camera's session. Raises ProtocolError with code no_such_camera, not_ready, no_model or camera_failed."""
        camera = self.camera(name)
        if camera.session is not None:
            return camera.session
        if self._model_failure:
            raise ProtocolError(f"There is no model: {self._model_failure}", code="no_model")
        if self.model_name is None:
            raise ProtocolError("The model is still loading; ask again in some seconds.", code="not_ready")
        if camera.state == "failed":
            raise ProtocolError(f"Camera {name!r} failed: {camera.reason}", code="camera_failed", param="camera")
        raise ProtocolError(
            f"Camera {name!r} is not open yet; ask again in some seconds.", code="not_ready", param="camera"
        )

    @property
    def model(self) -> LiveModel:
        """The loaded model. Raises ProtocolError with code no_model or not_ready."""
        if self._model_failure:
            raise ProtocolError(f"There is no model: {self._model_failure}", code="no_model")
        if self._model is None or not self._model.done():
            raise ProtocolError("The model is still loading; try again in some seconds.", code="not_ready")
        return self._model.result()

    def listen(self, listener: StatusListener) -> Callable[[], None]:
        """Calls `listener(camera, state, reason)` on every change; the returned function ends that."""
        return self._listeners.add(listener)

    def follow(self, follower: Callable[[str], None]) -> Callable[[], None]:
        """Calls `follower(camera)` when a camera came or went, or its state, its rules or a pause of alerts changed."""
        return self._followers.add(follower)

    def add(self, name: str, settings: CameraSettings) -> Camera:
        """Starts a camera. Raises ProtocolError with code camera_exists."""
        if name in self._cameras:
            raise ProtocolError(
                f"There is a camera {name!r} already; delete it first.", code="camera_exists", param="id"
            )
        ingest = self._make_ingest(name, settings.fps) if settings.publishable else None
        camera = Camera(name, settings, ingest, self._make_view(name))
        if ingest is not None and not settings.masked:  # what is masked comes out of the session alone
            ingest.show(camera.view)
        self._cameras[name] = camera
        with logged_with(camera=name):  # and so is all that the task begins
            camera.task = self._group.create_task(self._keep(camera), name=f"camera-{name}")
        return camera

    async def remove(self, name: str) -> None:
        """Stops a camera and waits until it is closed; what it saw stays in the journal.

        Raises ProtocolError with code no_such_camera.
        """
        camera = self.camera(name)
        del self._cameras[name]
        if camera.task is not None:
            camera.task.cancel()
            await asyncio.wait([camera.task])
        camera.view.close()
        if name not in self._cameras:
            self.captions.drop(name)
            self._tell(camera, "removed", "")

    async def apply(self, old: dict[str, CameraSettings], new: dict[str, CameraSettings]) -> list[str]:
        """Goes from one configuration's cameras to another's and says what was done; unchanged ones go on undisturbed.

        Cameras that were added over the network stay, unless the file now has one of the same name.
        """
        done = []
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) == new.get(name):
                continue
            try:
                if name in self._cameras and await self._only_rules(name, old.get(name), new.get(name)):
                    done.append(f"{name}'s alerts changed")
                    continue
                if name in self._cameras:
                    await self.remove(name)
                if name in new:
                    self.add(name, new[name])
            except ProtocolError as problem:  # somebody added or deleted it over the network at this very moment
                done.append(f"{name} left as it is ({problem})")
            else:
                done.append(f"{name} {'removed' if name not in new else 'changed' if name in old else 'added'}")
        return done

    async def _only_rules(self, name: str, old: CameraSettings | None, new: CameraSettings | None) -> bool:
        """Where nothing but the alert rules differs, take those: the camera goes on, and so do other rules' events."""
        if old is None or new is None or new.model_copy(update={"alerts": old.alerts}) != old:
            return False
        camera = self._cameras[name]
        camera.settings = new
        if camera.session is not None:
            await camera.session.apply_rules(engine_rules(new.alerts))
        self._changed(name)
        return True

    async def pause_alerts(self, name: str, paused: bool) -> None:
        """Have a camera raise no alerts until told otherwise. Raises ProtocolError with code no_such_camera."""
        camera = self.camera(name)
        self.alerts.pause(name, paused)
        if camera.session is not None:
            await camera.session.pause_alerts(paused)
        self._changed(name)

    async def _keep(self, camera: Camera) -> None:
        """Watches one camera until cancelled, opening it again when that fails. Nothing it meets reaches the others."""
        pause = RETRY_FIRST_S
        if self.model_name is None:
            self._tell(camera, "connecting", "waiting for the model to load")
        assert self._model is not None
        model = await asyncio.shield(self._model)
        while True:
            try:
                await self._watch(camera, model)
            except ConfigError as problem:
                self._fail(camera, problem)
                return  # trying again cannot mend it
            except LlamaVidError as problem:
                self._fail(camera, problem)
            except Exception as problem:  # the edge of the process towards one camera
                logger.exception("Camera %s failed", camera.name)
                self._fail(camera, problem)
            finally:
                camera.session = None
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                return  # the camera was taken away, and failed while it was closed
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_MOST_S)
            self._tell(camera, "connecting", "trying again")

    async def _watch(self, camera: Camera, model: LiveModel) -> None:
        settings, loop = camera.settings, asyncio.get_running_loop()
        source = camera.ingest if camera.ingest is not None else settings.url.get_secret_value()
        rules = engine_rules(settings.alerts)
        opened = model.watch(
            source, name=camera.name, fps=settings.fps, watch_for=settings.watch_for, rules=rules,
            on_alert=self.alerts.take, captions=settings.captions,
            on_caption=lambda event: self.captions.take(camera.name, event), masks=polygons(settings.privacy_masks),
            view=camera.view, decoder=settings.decoder,
        )  # fmt: skip
        async with opened as session:

            def tell(state: str, reason: str) -> None:
                if camera.session is session:
                    self._tell(camera, state, reason)

            def tell_from_anywhere(state: str, reason: str) -> None:
                with contextlib.suppress(RuntimeError):  # the loop is closed: a reader thread outlived the server
                    loop.call_soon_threadsafe(tell, str(state), reason)

            camera.session = session
            while camera.to_forget:
                await session.forget(*camera.to_forget.pop(0))
            session.on_state(tell_from_anywhere)
            session.on_line(lambda line: self.captions.take_line(camera.name, line))
            if self.alerts.paused(camera.name):
                await session.pause_alerts(True)
            if (now := engine_rules(camera.settings.alerts)) != rules:  # the file was changed while it opened
                await session.apply_rules(now)
            self._tell(camera, str(session.state), "")
            await asyncio.Event().wait()  # until the camera's task is cancelled

    def _fail(self, camera: Camera, problem: Exception) -> None:
        if isinstance(problem, LlamaVidError):
            reason = redact_text(str(problem), camera.settings.url.get_secret_value())
        else:
            reason = "an internal error; the server's log has it"
        self._tell(camera, "failed", reason)

    def _tell(self, camera: Camera, state: str, reason: str) -> None:
        if (state, reason) == (camera.state, camera.reason):
            return
        camera.state, camera.reason = state, reason
        level = logging.WARNING if state in ("failed", "stalled") else logging.INFO
        why = f" ({reason})" if reason else ""
        logger.log(level, "Camera %s: %s%s", camera.name, state, why, extra={"camera": camera.name})
        for listener in self._listeners:
            listener(camera.name, state, reason)
        self._changed(camera.name)

    def _changed(self, name: str) -> None:
        for follower in self._followers:
            follower(name)
