"""How fast and how good a model was measured to be, over time; and the buttons that measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gui.errands import Task
from gui.link import Link
from gui.models.measured import (
    history_bars,
    quality_bars,
    quality_text,
    speed_bars,
    speed_text,
)
from gui.theme import M, S
from gui.widgets.bars import Bars
from gui.widgets.spoken import Spoken
from gui.words import tr
from runner.client.client import Client
from runner.client.decode_keeping import Change
from runner.client.keeping import job_of
from runner.domain.job import Job, JobState
from runner.domain.quality import BenchReport, QualityReport
from runner.errors import CorralError, InvalidRequest, ModelNotFound

#: What is measured here: alone and several at once, at the beginning of a chat and far in it.
_SPEED = {"depths": [0, 1024], "concurrencies": [1, 4], "repeats": 2}
#: Kinds of the jobs that measure.
_KINDS = ("bench", "perplexity")


class MeasuredPanel(QWidget, Spoken):
    """About the model that ``show_model`` was last given.

    Signals:
        begun: The ``Job`` that measures.
        failed: A title, and a ``CorralError``.
    """

    begun = Signal(object)
    failed = Signal(str, object)

    def __init__(self, link: Link) -> None:
        QWidget.__init__(self)
        Spoken.__init__(self)
        self._link = link
        self._name = ""
        self._asked: list[Task] = []
        self._speeds: Sequence[BenchReport] = ()
        self._qualities: Sequence[QualityReport] = ()
        self.speed, self.history, self.quality = Bars(), Bars(), Bars()
        self.speed_words, self.history_words, self.quality_words = QLabel(), QLabel(), QLabel()
        self.time_it, self.judge_it = QPushButton(), QPushButton()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, M, M, M)
        self._column.setSpacing(S)
        self._part(lambda: tr("Speed"), self.time_it)
        self._rows(self.speed_words, self.speed, self.history_words, self.history)
        self._column.addSpacing(M)
        self._part(lambda: tr("Quality"), self.judge_it)
        self._rows(self.quality_words, self.quality)
        self._column.addStretch()
        self.say(self.time_it.setText, lambda: tr("Measure the speed"))
        self.say(self.judge_it.setText, lambda: tr("Measure the quality"))
        self.say(self.history_words.setText, lambda: tr("One answer at a time, over time"))
        self.say(self.speed.setAccessibleName, lambda: tr("Speed"))
        self.say(self.history.setAccessibleName, lambda: tr("One answer at a time, over time"))
        self.say(self.quality.setAccessibleName, lambda: tr("Quality"))
        self.time_it.clicked.connect(self._time)
        self.judge_it.clicked.connect(self._judge)
        link.told.connect(self._on_told)
        self._write()

    def show_model(self, name: str) -> None:
        """Ask what was measured of a model; what was shown of another goes."""
        if name != self._name:
            self._name, self._speeds, self._qualities = name, (), ()
            self._write()
        for task in self._asked:
            task.cancel()
        self._asked = [
            self._link.call(lambda client: client.benches(name), self._took_speeds),
            self._link.call(lambda client: client.quality(name), self._took_qualities),
        ]

    def say_again(self) -> None:
        super().say_again()
        self._write()

    def _part(self, title: Callable[[], str], button: QPushButton) -> None:
        heading = QLabel()
        heading.setProperty("role", "heading")
        self.say(heading.setText, title)
        head = QHBoxLayout()
        head.setSpacing(S)
        head.addWidget(heading, 1)
        head.addWidget(button)
        self._column.addLayout(head)

    def _rows(self, *widgets: QWidget) -> None:
        for widget in widgets:
            if isinstance(widget, QLabel):
                widget.setProperty("role", "muted")
                widget.setWordWrap(True)
            self._column.addWidget(widget)

    @Slot()
    def _time(self) -> None:
        name = self._name
        self._begin(lambda client: client.begin_bench(name, dict(_SPEED)))

    @Slot()
    def _judge(self) -> None:
        name = self._name
        self._begin(lambda client: begin_to_judge(client, name))

    def _begin(self, begin: Callable[[Client], Job]) -> None:
        name = self._name

        def failed(error: CorralError) -> None:
            self.failed.emit(tr("{name} cannot be measured", name=name), error)

        self._link.call(begin, self.begun.emit, failed)

    @Slot(object)
    def _on_told(self, change: Change) -> None:
        """A measurement that ended has something to show."""
        job = job_of(change)
        if job is None or job.kind not in _KINDS or job.name != self._name:
            return
        if job.state is JobState.DONE:
            self.show_model(self._name)

    def _took_speeds(self, reports: list[BenchReport]) -> None:
        self._speeds = reports
        self._write()

    def _took_qualities(self, reports: list[QualityReport]) -> None:
        self._qualities = reports
        self._write()

    def _write(self) -> None:
        self.speed_words.setText(speed_text(self._speeds))
        self.quality_words.setText(quality_text(self._qualities))
        history = history_bars(self._speeds)
        for bars, shown in (
            (self.speed, speed_bars(self._speeds)),
            (self.history, history),
            (self.quality, quality_bars(self._qualities)),
        ):
            bars.show_bars(shown)
            bars.setVisible(bool(shown))
        self.history_words.setVisible(bool(history))


def begin_to_judge(client: Client, name: str) -> Job:
    """Have a model measured, against the one it was made from where that is still here.

    Raises:
        CorralError: It cannot be measured now.
    """
    made_from = client.show(name).details.provenance.get("from")
    if isinstance(made_from, str) and made_from:
        try:
            return client.begin_perplexity(name, {"source": made_from})
        except (ModelNotFound, InvalidRequest):
            pass  # it has gone, or its name stands for the same weights by now
    return client.begin_perplexity(name, {})
