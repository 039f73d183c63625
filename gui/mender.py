"""What a button does about an error by itself, and then has done again what failed.

The daemon does it, asked through the link; whoever shows the error hands its model's name over and
what to do once it is mended.  What frees disk space is asked about first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QLineEdit, QWidget

from gui import figures
from gui.link import Link
from gui.models import device_switch
from gui.ways import GUIDE, Acts
from gui.widgets.ask import ask_text, confirm
from gui.words import sentence, tr
from runner.client.client import Client
from runner.domain.hub_url import (
    HUB_HOSTS,
    HUGGING_FACE,
    MODELSCOPE,
    MODELSCOPE_INTERNATIONAL,
)
from runner.domain.name import ModelName
from runner.domain.storage import Pruned
from runner.errors import CorralError, InvalidName

Again = Callable[[], object]

#: The daemon's name of the token of each hub.
_SECRETS = {HUGGING_FACE: "hf", MODELSCOPE: "modelscope", MODELSCOPE_INTERNATIONAL: "modelscope"}
_OTHERS = {
    HUGGING_FACE: MODELSCOPE,
    MODELSCOPE: HUGGING_FACE,
    MODELSCOPE_INTERNATIONAL: HUGGING_FACE,
}
#: How the daemon words a time to wait for, and the seconds where it names none.
_WORDED = re.compile(r"(\d+(?:\.\d+)?) s(?:econds)?\b")
_USUAL_S = 5


class Mender(QObject):
    """Made by a page; used on the GUI's thread.

    Signals:
        told: What came of it, where nothing else shows it; empty: there is no more to say.
    """

    told = Signal(str)

    def __init__(self, link: Link, over: QWidget) -> None:
        """``over``: where its questions are asked."""
        super().__init__(over)
        self._link = link
        self._over = over
        self._n_left_s = 0
        self._again: Again = lambda: None
        self._clock = QTimer(self)
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self._tick)

    def acts_for_model(self, name: str, words: str, again: Again) -> Acts:
        """Return what can be done about a model that does not answer, and then ``again``.

        Args:
            name: The model.
            words: What the error said.
            again: Asks it once more.
        """
        return {
            "free": lambda: self._free(again),
            "get": lambda: self.download(name),
            "repair": lambda: self._repair(name, again),
            "wait": lambda: self._wait(wait_s(words), again),
            "template": lambda: GUIDE.led.emit(f"library/edit/{name}"),
            "without-device": lambda: self._leave_out(words, again),
        }

    def acts_for_download(self, name: str, words: str, again: Again) -> Acts:
        """Return what can be done about a download that failed, and then ``again``.

        Args:
            name: The model.
            words: What the error said.
            again: Goes on with the download.
        """
        acts: dict[str, Again] = {
            "clean": lambda: self._clean(again),
            "wait": lambda: self._wait(wait_s(words), again),
        }
        host = hub_of(name)
        if host in _SECRETS:
            acts["token"] = lambda: self._ask_token(host, again)
        if other := elsewhere(name):
            acts["other-hub"] = lambda: self.download(other)
        return acts

    def download(self, name: str) -> None:
        """Begin a download, and show it."""
        self._link.call(
            lambda client: client.begin_pull(name),
            lambda _: GUIDE.led.emit("downloads"),
            self._tell,
        )

    def wait_no_more(self) -> None:
        """Give up what is waited for, if anything is."""
        if self._clock.isActive():
            self._clock.stop()
            self.told.emit("")

    def _wait(self, n_s: int, again: Again) -> None:
        """Count down, and then try again; one thing is waited for at a time."""
        self._n_left_s, self._again = n_s, again
        self._clock.start()
        self._tell_time()

    def _tick(self) -> None:
        self._n_left_s -= 1
        if self._n_left_s > 0:
            self._tell_time()
            return
        self.wait_no_more()
        self._again()

    def _tell_time(self) -> None:
        self.told.emit(tr("Trying again in {n} s…", n=self._n_left_s))

    def _leave_out(self, words: str, again: Again) -> None:
        """Take the device that an error is about out of the settings; it may be out already."""

        def leave_out(client: Client) -> None:
            states = client.settings().settings
            value = next((one.value for one in states if one.name == device_switch.NAME), "")
            wanted = device_switch.without(value, words)
            if wanted != value:
                client.change_settings({device_switch.NAME: wanted or None})

        self._link.call(leave_out, lambda _: again(), self._tell)

    def _free(self, again: Again) -> None:
        def unload(client: Client) -> int:
            idle = [str(model.info.name) for model in client.running() if not model.n_active]
            return sum(client.unload(name) for name in idle)

        def done(n_freed: int) -> None:
            if n_freed:
                again()
            else:
                self.told.emit(tr("No idle model is in memory: other programs have it."))

        self._link.call(unload, done, self._tell)

    def _repair(self, name: str, again: Again) -> None:
        self.told.emit(tr("Repairing {name}…", name=name))
        self._link.stream(lambda client: client.repair(name), lambda _: None, again, self._tell)

    def _clean(self, again: Again) -> None:
        def ask(found: Pruned) -> None:
            if not found.n_bytes:
                self.told.emit(found.kept or tr("Nothing lies about: delete a model to make room."))
                GUIDE.led.emit("library")
                return
            confirm(
                self._over,
                tr("Free {size}?", size=figures.size(found.n_bytes)),
                tr(
                    "{n} files that no model and no download needs are removed.", n=len(found.files)
                ),
                tr("Remove"),
                lambda: self._link.call(
                    lambda client: client.prune(), lambda _: again(), self._tell
                ),
            )

        self._link.call(lambda client: client.prune(dry_run=True), ask, self._tell)

    def _ask_token(self, host: str, again: Again) -> None:
        secret = _SECRETS[host]

        def put(token: str) -> None:
            self._link.call(
                lambda client: client.put_secret(secret, token), lambda _: again(), self._tell
            )

        question = ask_text(
            self._over,
            tr("Token of {hub}", hub=host),
            tr("It is kept as the tokens in the settings are, and the download goes on."),
            tr("Keep"),
            put,
        )
        question.field.setEchoMode(QLineEdit.EchoMode.Password)

    def _tell(self, error: CorralError) -> None:
        self.told.emit(sentence(error))


def wait_s(words: str) -> int:
    """Return for how many seconds an error asks, 1 at least; a few where it does not say."""
    found = _WORDED.search(words)
    return max(1, math.ceil(float(found[1]))) if found else _USUAL_S


def hub_of(name: str) -> str:
    """Return the hub that a name says, as names spell it; empty: it says none."""
    try:
        return HUB_HOSTS.get(ModelName.parse(name).host.lower(), "")
    except InvalidName:  # of a file
        return ""


def elsewhere(name: str) -> str:
    """Return the same repository's name on the other hub; empty: the name says no hub."""
    host = hub_of(name)
    if host not in _OTHERS:
        return ""
    parsed = ModelName.parse(name)
    tag = "" if parsed.tag == "latest" else f":{parsed.tag}"
    return f"{_OTHERS[host]}/{parsed.namespace}/{parsed.model}{tag}"
