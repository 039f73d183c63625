"""What somebody without a model sees: this machine, and one to three models that fit it."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from gui.activity import ACTIVITY
from gui.errands import Task
from gui.hub_speed import HUBS, HubAnswer, ask_hub
from gui.icons import mark
from gui.link import Link
from gui.mender import Mender
from gui.models.figures import seconds
from gui.suggest import GB, Room, Suggestion, look, suggest
from gui.theme import XL, XS, M, S
from gui.titles import title_of
from gui.widgets.device_card import unused_text
from gui.widgets.way_row import WayRow
from gui.words import tr
from runner.domain.machine import MachineReport
from runner.domain.progress import Progress
from runner.errors import CorralError
from runner.paths import find_paths


class FirstModel(QScrollArea):
    """Gets a first model; works offline with the one that comes along.

    Signals:
        ready: The model with this name is in the library.
    """

    ready = Signal(str)

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self._cards: list[_Card] = []
        self._room: Room | None = None
        self._answers: dict[str, HubAnswer] = {}
        self._report: MachineReport | None = None
        self._title, self._text, self._machine = QLabel(), QLabel(), QLabel()
        self.unused, self.hubs = QLabel(), QLabel()
        self.unused.hide()
        self.unused.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._title.setProperty("role", "title")
        for label in (self._machine, self.unused, self.hubs):
            label.setProperty("role", "muted")
        picture = QLabel()
        picture.setPixmap(mark().pixmap(56, 56))
        for label in (self._title, self._text, self._machine, self.unused, self.hubs):
            label.setWordWrap(True)
        inner = QWidget()
        inner.setObjectName("page")
        self._column = QVBoxLayout()
        self._column.setSpacing(M)
        self._column.addStretch(1)
        shown = (picture, self._title, self._text, self._machine, self.unused, self.hubs)
        for widget in shown:
            self._column.addWidget(widget)
        self._list = QVBoxLayout()
        self._list.setSpacing(S)
        self._column.addSpacing(S)
        self._column.addLayout(self._list)
        self._column.addStretch(2)
        narrow = QWidget()
        narrow.setMaximumWidth(620)
        narrow.setLayout(self._column)
        row = QHBoxLayout(inner)
        row.setContentsMargins(XL, XL, XL, XL)
        row.addStretch()
        row.addWidget(narrow, 10)
        row.addStretch()
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(inner)
        self.retranslate()
        models = find_paths().models
        link.call(lambda _: look(models), self._show_room)
        link.call(lambda client: client.machine(), self._show_devices)
        for hub in HUBS:
            link.call(partial(ask_hub, hub=hub), self._heard)

    def retranslate(self) -> None:
        """The language changed."""
        self._title.setText(tr("Welcome to Corral"))
        self._text.setText(
            tr("Models run on this computer, and what you ask stays on it. Choose one to begin.")
        )
        if self._room is not None:
            self._show_machine(self._room)
        for card in self._cards:
            card.retranslate()
        self._show_hubs()

    def _show_room(self, room: Room) -> None:
        self._room = room
        self._show_machine(room)
        for index, model in enumerate(suggest(room)):
            card = _Card(model, self._link, is_first=index == 0)
            card.ready.connect(self.ready)
            self._cards.append(card)
            self._list.addWidget(card)

    def _show_devices(self, report: MachineReport) -> None:
        self._report = report
        if self._room is not None:
            self._show_machine(self._room)

    def _heard(self, answer: HubAnswer) -> None:
        self._answers[answer.hub] = answer
        self._show_hubs()

    def _show_hubs(self) -> None:
        """Say which hub answers, the faster one first."""
        if len(self._answers) < len(HUBS):
            self.hubs.setText(tr("Asking the hubs…"))
            return
        answers = [one for one in self._answers.values() if one.seconds is not None]
        if not answers:
            self.hubs.setText(tr("No hub answers now; the first model needs none."))
            return
        answers.sort(key=lambda one: one.seconds or 0.0)
        self.hubs.setText(
            "  ·  ".join(
                tr("{hub} answers after {time}", hub=HUBS[one.hub], time=seconds(one.seconds or 0))
                for one in answers
            )
        )

    def _show_machine(self, room: Room) -> None:
        devices = self._report.devices if self._report else ()
        graphics = "".join(f" · {one.name or one.id}" for one in devices if one.kind != "cpu")
        if self._report and not graphics:
            graphics = " · " + tr("no graphics card in use")
        if self._report and self._report.unused_cards:
            self.unused.setText(unused_text(self._report))
            self.unused.show()
        self._machine.setText(
            tr(
                "{processor} · {n} cores · {memory} GB memory · {disk} GB free on the disk",
                processor=room.processor,
                n=room.n_cores,
                memory=f"{room.n_memory / GB:.0f}",
                disk=f"{room.n_disk / GB:.0f}",
            )
            + graphics
        )


class _Card(QFrame):
    """One model, and getting it."""

    ready = Signal(str)

    def __init__(self, model: Suggestion, link: Link, *, is_first: bool) -> None:
        super().__init__()
        self.setObjectName("card")
        self._model = model
        self._link = link
        self._task: Task | None = None
        name, self._words, self._state = QLabel(model.name), QLabel(), QLabel()
        name.setProperty("role", "heading")
        self._words.setProperty("role", "muted")
        self._words.setWordWrap(True)
        self._state.setWordWrap(True)
        self._state.setTextFormat(Qt.TextFormat.PlainText)
        self._state.hide()
        self._ways = WayRow()
        self._mender = Mender(link, self)
        self._mender.told.connect(lambda text: self._tell(text, "muted"))
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.hide()
        self.button = QPushButton()
        if is_first:
            self.button.setProperty("role", "primary")
        self.button.clicked.connect(self._press)
        words = QVBoxLayout()
        words.setSpacing(XS)
        for widget in (name, self._words, self._bar, self._state, self._ways):
            words.addWidget(widget)
        row = QHBoxLayout(self)
        row.setContentsMargins(M, M, M, M)
        row.setSpacing(M)
        row.addLayout(words, 1)
        row.addWidget(self.button)
        self.retranslate()

    def retranslate(self) -> None:
        """The language changed."""
        size = tr("{n} MB", n=f"{self._model.n_bytes / 1e6:.0f}")
        if self._model.n_bytes >= GB:
            size = tr("{n} GB", n=f"{self._model.n_bytes / GB:.1f}")
        source = tr("comes along, no network needed") if self._model.is_starter else tr("download")
        self._words.setText(f"{tr(self._model.words)}\n{size} · {source}")
        self._ways.retranslate()
        self._show_button()

    def _show_button(self) -> None:
        text = tr("Cancel") if self._task else tr("Get it")
        self.button.setText(text)
        self.button.setAccessibleName(f"{text}: {self._model.name}")

    def _press(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._end(tr("Cancelled. What has arrived is kept."), "muted")
        else:
            self._get()

    def _get(self) -> None:
        if self._task is not None:  # it was asked for meanwhile
            return
        self._ways.show_code(None, {})
        self._task = self._link.stream(
            lambda client: client.pull(self._model.name), self._took, self._done, self._failed
        )
        self._bar.setRange(0, 0)
        self._bar.show()
        self._tell(tr("Asking where it is…"), "muted")
        self._show_button()

    def _took(self, steps: list[Progress]) -> None:
        step = steps[-1]
        percent = step.n_done * 100 // step.n_bytes if step.n_bytes else 0
        ACTIVITY.set_download(self._model.name, percent)
        if step.n_bytes:
            self._bar.setRange(0, 1000)
            self._bar.setValue(step.n_done * 1000 // step.n_bytes)
        done, whole = f"{step.n_done / 1e6:,.0f}", f"{step.n_bytes / 1e6:,.0f}"
        counts = f" {tr('{done} of {all} MB', done=done, all=whole)}" if step.n_bytes else ""
        self._tell(step.phase + counts, "muted")

    def _done(self) -> None:
        self._end("", "muted")
        ACTIVITY.announce(tr("A model is ready"), self._model.name)
        self.ready.emit(self._model.name)

    def _failed(self, error: CorralError) -> None:
        words = (title_of(error.code), error.message, error.hint, f"[{error.code}]")
        self._end("\n".join(part for part in words if part), "bad")
        told = f"{error.message} {error.hint}"
        acts = self._mender.acts_for_download(self._model.name, told, self._get)
        self._ways.show_code(error.code, acts)

    def _end(self, text: str, role: str) -> None:
        self._task = None
        ACTIVITY.set_download(self._model.name, None)
        self._bar.hide()
        self._tell(text, role)
        self._show_button()

    def _tell(self, text: str, role: str) -> None:
        self._state.setProperty("role", role)
        self._state.style().unpolish(self._state)
        self._state.style().polish(self._state)
        self._state.setText(text)
        self._state.setVisible(bool(text))
