"""The daemon from the app's side: what is asked of it, and how things stand with it.

``call`` and ``stream`` are those of ``errands.py``.  ``watch`` looks after the daemon: it starts
one when none answers, and is told by it what changes; while nothing does, nobody asks anybody.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial

from PySide6.QtCore import Signal

from gui.errands import Errands, Failed
from gui.local import free_port
from gui.words import tr
from runner.client import launch
from runner.client.client import Client
from runner.client.decode_keeping import Change, Load
from runner.client.keeping import Events, loads_of, running_of
from runner.client.launch import Found, Kind
from runner.domain.address import Address
from runner.domain.model import RunningModel
from runner.errors import AddressInUse, CorralError, DaemonError
from runner.paths import Paths

logger = logging.getLogger(__name__)

#: Seconds between two looks at a daemon that does not tell: with the window in sight, and without.
_LOOK_S, _GLANCE_S = 2.0, 10.0
_STOP_UNITS = "systemctl --user stop corral.socket corral.service"
#: Seconds that a daemon which was killed may still seem to answer.
_ENDING_S = 0.3


class Phase(Enum):
    """How things stand with the daemon."""

    LOOKING = auto()
    STARTING = auto()
    UP = auto()
    DOWN = auto()


@dataclass(frozen=True, slots=True)
class State:
    """What the app knows of the daemon.

    Attributes:
        phase: Whether it can be asked.
        version: Its version; empty while unknown.
        running: The models in memory.
        error: Why it is down.
    """

    phase: Phase = Phase.LOOKING
    version: str = ""
    running: tuple[RunningModel, ...] = ()
    error: CorralError | None = None

    @property
    def n_active(self) -> int:
        """Requests that it is answering."""
        return sum(model.n_active for model in self.running)


class Link(Errands):
    """One daemon, made on the GUI's thread; its methods return at once."""

    changed = Signal(object)  # State, when it differs from the last one
    told = Signal(object)  # a Change, as the daemon tells it

    def __init__(
        self,
        paths: Paths,
        address: Address,
        *,
        starts: bool = True,
        finds: Callable[[], Address] | None = None,
    ) -> None:
        """Take the daemon's place.

        Args:
            paths: Where its token is.
            address: Where it answers.
            starts: Whether to start one when none answers.
            finds: Reads anew where it shall answer; asked, on another thread, when nothing answers.
        """
        super().__init__(paths, address)
        self.state = State()
        self._starts = starts
        self._finds = finds
        self._wake = threading.Event()
        self._is_settled = threading.Event()  # it is up, or it is known why not
        self._is_seen = True
        self._is_closed = False
        self._is_paused = False
        self._events: Events | None = None
        #: The models on their way into memory, as the daemon told last.
        self.loads: Mapping[str, Load] = {}
        self._watcher: threading.Thread | None = None

    @property
    def is_local(self) -> bool:
        """Whether the daemon is on this machine, be it that others are let in too."""
        return self.address.reachable.is_loopback

    @property
    def is_paused(self) -> bool:
        """Whether the daemon was stopped by ``pause``, and is not to be started."""
        return self._is_paused

    def watch(self) -> None:
        """Begin to look after the daemon."""
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="watch", daemon=True)
            self._watcher.start()

    def look(self) -> None:
        """Look at the daemon now; after an action that changes what is loaded."""
        self._wake.set()

    def pause(self, failed: Failed) -> None:
        """Stop the daemon once its answers have ended, and leave it stopped until ``resume``."""
        paths, address = self.paths, self.address

        def stop(_: Client) -> None:
            if launch.stop(paths, address):
                raise DaemonError(
                    tr("The daemon was stopped, and systemd has started another one."),
                    hint=tr("End both with: {command}", command=_STOP_UNITS),
                )
            logger.info("paused the daemon of %s", paths.run)

        def undo(error: CorralError) -> None:
            self._is_paused = False
            failed(error)

        self._is_paused = True  # from now on: the watcher may see it gone before we do
        self.call(stop, lambda _: self.look(), undo)

    def resume(self) -> None:
        """Start the daemon that ``pause`` stopped."""
        self._is_paused = False
        self.look()

    def move(self) -> None:
        """Use the next free port while the app runs: another program has ours."""

        def take(address: Address) -> None:
            os.environ["CORRAL_HOST"] = str(address)  # the daemon that is started reads it too
            self.address = address
            self.look()

        here = self.address
        self.call(lambda _: replace(here, port=free_port(here.host, here.port)), take)

    def restart(self, failed: Failed) -> None:
        """End the daemon once its answers have ended; one of this version takes its place."""
        paths, address = self.paths, self.address
        self.call(lambda _: launch.stop(paths, address), lambda _: self.look(), failed)

    def settle(self) -> None:
        """Wait for a daemon that is being started; not on the GUI's thread."""
        if self._watcher is not None:
            self._is_settled.wait(launch.START_S)

    def set_seen(self, is_seen: bool) -> None:
        """Say whether anybody sees the window: if not, a glance now and then is enough."""
        self._is_seen = is_seen
        if is_seen:
            self._wake.set()

    def close(self) -> None:
        """Stop looking, and cancel what is under way; what is begun afterwards still runs."""
        self._is_closed = True
        self._is_settled.set()
        self._wake.set()
        if (events := self._events) is not None:
            threading.Thread(target=events.close, name="close", daemon=True).start()
        self.cancel_all()

    def _watch(self) -> None:
        try:
            self._follow_daemon()
        finally:
            self.let_go()

    def _follow_daemon(self) -> None:
        while not self._is_closed:
            state = self._look()
            self._say(state)
            if state.phase is Phase.UP and self._heed(state):
                continue  # it has ended, or is another one now
            self._wake.wait(_LOOK_S if self._is_seen else _GLANCE_S)
            self._wake.clear()

    def _heed(self, state: State) -> bool:
        """Follow what the daemon tells until it ends; returns whether it told anything."""
        events = self._events = self._client().events()
        has_told = False
        try:
            if self._is_closed:
                return False
            for change in events:
                self._wake.clear()
                if change is None:
                    continue
                has_told = True
                if (running := running_of(change)) is not None:
                    state = replace(state, running=tuple(running))
                    self._say(state)
                self.post(partial(self._tell, change))
        except CorralError as error:
            logger.info("the daemon tells nothing more: %s", error.message)
        finally:
            self._events = None
        return has_told

    def _tell(self, change: Change) -> None:
        if self._is_closed:
            return
        with contextlib.suppress(CorralError):  # of a later daemon: nothing is known of it
            loads = loads_of(change)
            self.loads = self.loads if loads is None else loads
        self.told.emit(change)

    def _look(self) -> State:
        try:
            found = launch.probe(self.address)
            if found.kind is Kind.STRANGER and self.state.phase is Phase.UP:
                # One that is ending takes a connection and drops it: who is there after it?
                self._wake.wait(_ENDING_S)
                found = launch.probe(self.address)
            if found.kind is Kind.SILENT:
                self._say(State(Phase.STARTING))
                found = launch.probe(self.address, timeout_s=launch.START_S)
            if found.kind is Kind.NOTHING and self._has_moved():
                found = launch.probe(self.address)
            if found.kind is Kind.NOTHING and self._is_paused:
                raise _paused()
            if found.kind is Kind.NOTHING and self._starts:
                self._say(State(Phase.STARTING))
                found = launch.start(self.paths, self.address)
            _refuse_others(found, self.address)
            running = tuple(self._client().running())
            return State(Phase.UP, found.version, running)
        except CorralError as error:
            return State(Phase.DOWN, error=error)

    def _has_moved(self) -> bool:
        """Read the settings anew; returns whether the daemon shall answer elsewhere now."""
        old = self.address
        if self._finds is not None:
            self.address = self._finds()
        return self.address != old

    def _say(self, state: State) -> None:
        if state.phase in (Phase.UP, Phase.DOWN):
            self._is_settled.set()
        else:
            self._is_settled.clear()

        def run() -> None:
            if state != self.state:
                self.state = state
                if state.phase is not Phase.UP:
                    self.loads = {}
                self.changed.emit(state)

        self.post(run)


def _paused() -> DaemonError:
    return DaemonError(tr("the server is paused"), hint=tr("resume it here or in the tray"))


def _refuse_others(found: Found, address: Address) -> None:
    if found.kind is Kind.NOTHING:
        raise DaemonError(f"nothing answers at {address}", hint="start it with: corral serve")
    if found.kind is Kind.SILENT:
        raise AddressInUse(
            f"a program takes connections at {address}, and says nothing",
            hint="end it, whether it is the daemon or not, or use another port: CORRAL_HOST",
        )
    if found.kind is not Kind.CORRAL:
        who = "Ollama" if found.kind is Kind.OLLAMA else "another program"
        raise AddressInUse(
            f"{who} answers at {address}, where the Corral daemon should",
            hint="stop it, or use another port: CORRAL_HOST",
        )
