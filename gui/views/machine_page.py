"""The machine: its processor and memory, memory over time, and the models that hold some."""

from __future__ import annotations

import time

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from gui import figures
from gui.link import State
from gui.local import Disk, disk_of, models_folder
from gui.machine import History, Machine, ProcessorTime, Sample, measure, processor_time
from gui.models.running_table import running_table
from gui.models.table import Sorted
from gui.pages import House
from gui.theme import L, M, S
from gui.views.daemon_settings import SettingsSource
from gui.views.device_switches import DeviceSwitches
from gui.views.sheet import Sheet, card, scrolled
from gui.widgets.content import Content
from gui.widgets.device_card import DeviceCard
from gui.widgets.device_plot import DevicePlot
from gui.widgets.grid import Grid
from gui.widgets.measured_panel import MeasuredPanel
from gui.widgets.plot import MemoryPlot
from gui.widgets.usage_bar import UsageBar
from gui.words import tr
from runner.domain.machine import MachineReport
from runner.domain.model import ModelInfo, RunningModel
from runner.errors import CorralError

_LOOK_MS = 2000


class MachinePage(Sheet):
    """Measured on this machine; a daemon elsewhere only tells what its models hold."""

    title = "Machine"

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.history = History()
        self.machine: Machine | None = None
        self._computed: ProcessorTime | None = None  # until the last look
        self._disk: Disk | None = None
        self._is_local = house.link.is_local
        self.processor, self.system, self.load = QLabel(), QLabel(), QLabel()
        self.system.setProperty("role", "muted")
        self.memory, self.disk = UsageBar(), UsageBar()
        self.plot = MemoryPlot(self.history)
        #: Of each accelerator that tells its memory, by its id: what is used over time.
        self.device_plots: dict[str, DevicePlot] = {}
        self.running = running_table()
        self.grid = Grid(Sorted(self.running, self), widths=(240, 110, 100, 100, 120, 170, 90))
        self.grid.sortByColumn(1, Qt.SortOrder.DescendingOrder)
        self.nothing = self.label(
            lambda: tr("No model is in memory. The first request loads one."), "muted"
        )
        #: Why a model is not in memory as it was asked for, in the daemon's words.
        self.notes = QLabel()
        self.notes.setProperty("role", "muted")
        self.notes.setWordWrap(True)
        self.notes.setTextFormat(Qt.TextFormat.PlainText)
        self.unload = self.button(lambda: tr("Unload"), self._unload)
        self.devices = DeviceCard(lambda: self.house.go("settings"))
        self.source = SettingsSource(self.link, self)
        self.switches = DeviceSwitches(self.source)
        self.model = QComboBox()
        self.model.setMinimumWidth(220)
        self.model.activated.connect(lambda _: self._show_measured())
        self.measured = MeasuredPanel(self.link)
        self.measured.begun.connect(lambda _: self.house.go("downloads"))
        self.measured.failed.connect(self.banner.show_error)
        self.content = Content(scrolled(self._body()))  # a small window has not room for all
        self.column.addWidget(self.content, 1)
        self.grid.chosen.connect(lambda row: self.unload.setEnabled(row is not None))
        self.unload.setEnabled(False)
        if self._is_local:
            self.content.show_loading(tr("Measuring this machine…"))
        else:
            self.content.show_body()
        self.every(_LOOK_MS)

    def refresh(self) -> None:
        """Measure this machine anew."""
        self.link.look()
        if self._is_local:
            self.link.call(lambda _: measure(), self._took, self._failed)
            self.link.call(lambda _: processor_time(), self._took_time)
            paths = self.link.paths
            self.link.call(lambda _: disk_of(models_folder(paths)), self._took_disk)
        if self.is_up:
            told = self.devices.show_error
            self.link.call(lambda client: client.machine(), self._took_report, told)

    def show_down(self, error: CorralError) -> None:
        self.devices.show_error(error)

    def state_changed(self, state: State) -> None:
        self._show_running(state.running)

    def entered(self) -> None:
        super().entered()
        self.source.refresh()
        if self.is_up:
            self.link.call(lambda client: client.list_models(), self._took_models)
        if self._is_local and not self.is_up:  # the machine is there without the daemon
            self.link.call(lambda _: measure(), self._took, self._failed)

    def retranslate(self) -> None:
        super().retranslate()
        self.devices.say_again()
        self.switches.say_again()
        self.measured.say_again()
        for plot in self.device_plots.values():
            plot.say_again()
        if self.machine is not None:
            self._show_machine(self.machine)
        self._took_disk(self._disk)

    def _body(self) -> QWidget:
        facts = QHBoxLayout()
        facts.setSpacing(M)
        facts.addWidget(
            self._card(lambda: tr("Processor"), self.processor, self.system, self.load), 1
        )
        facts.addWidget(self._card(lambda: tr("Memory"), self.memory), 1)
        facts.addWidget(self._card(lambda: tr("Models' disk"), self.disk), 1)
        plot = self._card(lambda: tr("Memory over time"), self._legend(), self.plot)
        plot.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._plots = QHBoxLayout()
        self._plots.setSpacing(M)
        self._plots.addWidget(plot, 2)
        models, column = card()
        head = QHBoxLayout()
        head.addWidget(self.label(lambda: tr("Models in memory"), "heading"), 1)
        head.addWidget(self.unload)
        column.addLayout(head)
        column.addWidget(self.nothing)
        column.addWidget(self.grid, 1)
        column.addWidget(self.notes)
        self.say(self.grid.setAccessibleName, lambda: tr("Models in memory"))
        self.say(self.plot.setAccessibleName, lambda: tr("Memory over time"))
        body = QWidget()
        whole = QVBoxLayout(body)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(M)
        if self._is_local:
            whole.addLayout(facts)
            whole.addLayout(self._plots, 3)
        whole.addWidget(models, 2)
        devices, column = card()
        column.addWidget(self.devices)
        column.addWidget(self.switches)
        whole.addWidget(devices)
        whole.addWidget(self._benchmark())
        return body

    def _benchmark(self) -> QWidget:
        """How fast and how good the models are on this machine, and over time."""
        self.bench, column = card()
        head = QHBoxLayout()
        head.setSpacing(S)
        head.addWidget(self.label(lambda: tr("Benchmark"), "heading"), 1)
        head.addWidget(self.model)
        self.say(self.model.setAccessibleName, lambda: tr("Model"))
        column.addLayout(head)
        column.addWidget(self.measured)
        self.bench.hide()
        return self.bench

    def _card(self, title: object, *widgets: QWidget) -> QWidget:
        frame, column = card()
        column.addWidget(self.label(title, "heading"))  # type: ignore[arg-type]
        for widget in widgets:
            if isinstance(widget, QLabel):
                widget.setWordWrap(True)
            column.addWidget(widget, 1 if isinstance(widget, MemoryPlot) else 0)
        if not any(isinstance(widget, MemoryPlot) for widget in widgets):
            column.addStretch()
        return frame

    def _legend(self) -> QWidget:
        legend = QWidget()
        row = QHBoxLayout(legend)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(L)
        self.by_all = QLabel()
        self.by_all.setProperty("role", "muted")
        self.by_models = QLabel()
        self.by_models.setProperty("role", "good")
        row.addWidget(self.by_models)
        row.addWidget(self.by_all)
        row.addStretch()
        row.setSpacing(S * 3)
        return legend

    def _took(self, machine: Machine) -> None:
        self.machine = machine
        n_models = sum(model.n_resident for model in self.link.state.running)
        n_used = machine.n_memory - machine.n_available
        # Models that are mapped from disk count as memory that others can still get.
        self.history.add(Sample(time.monotonic(), max(n_used, n_models), n_models))
        self._show_machine(machine)
        self._show_running(self.link.state.running)
        self.content.show_body()

    def _took_time(self, now: ProcessorTime) -> None:
        before, self._computed = self._computed, now
        if before is not None:
            self.load.setText(tr("{share} in use", share=f"{now.share_since(before):.0%}"))

    def _took_report(self, report: MachineReport) -> None:
        self.devices.show_report(report)
        self.switches.show_devices(report.devices)
        now = time.monotonic()
        for device in report.devices if self._is_local else ():
            if device.n_memory and device.kind != "cpu":
                if device.id not in self.device_plots:
                    self.device_plots[device.id] = plot = DevicePlot(device.name)
                    self._plots.addWidget(plot, 1)
                self.device_plots[device.id].add(now, device)

    def _took_models(self, models: list[ModelInfo]) -> None:
        """Keep the choice, as far as it is still there."""
        wanted = self.model.currentText() or self.house.settings.choices.model
        self.model.clear()
        self.model.addItems(sorted(str(info.name) for info in models))
        self.model.setCurrentIndex(max(0, self.model.findText(wanted)))
        self.bench.setVisible(bool(models))
        self._show_measured()

    def _show_measured(self) -> None:
        if self.model.currentText():
            self.measured.show_model(self.model.currentText())

    def _failed(self, error: CorralError) -> None:
        self.content.show_error(tr("This machine cannot be measured"), error)

    def _took_disk(self, disk: Disk | None) -> None:
        self._disk = disk
        if disk is None:
            return
        words = tr(
            "{free} free of {size}",
            free=figures.size(disk.n_free),
            size=figures.size(disk.n_bytes),
        )
        self.disk.show_shares(disk.n_bytes, [(disk.n_bytes - disk.n_free, "muted")], words)

    def _show_machine(self, machine: Machine) -> None:
        n_used = machine.n_memory - machine.n_available
        n_models = sum(model.n_resident for model in self.link.state.running)
        self.processor.setText(machine.processor)
        cores = tr("{n} cores, {m} threads", n=machine.n_cores, m=machine.n_threads)
        self.system.setText(f"{cores}  ·  {machine.system}")
        words = tr(
            "{free} free of {size}",
            free=figures.size(machine.n_available),
            size=figures.size(machine.n_memory),
        )
        shares = [(n_models, "accent"), (max(0, n_used - n_models), "muted")]
        self.memory.show_shares(machine.n_memory, shares, words)
        self.by_models.setText("■ " + tr("Models: {size}", size=figures.size(n_models)))
        self.by_all.setText("■ " + tr("All programs: {size}", size=figures.size(n_used)))
        self.plot.show_latest(machine.n_memory)

    def _show_running(self, running: tuple[RunningModel, ...]) -> None:
        self.running.set_rows(running)
        self.running.refresh()  # the time that each stays runs
        self.grid.setVisible(bool(running))
        self.unload.setVisible(bool(running))
        self.nothing.setVisible(not running)
        self.notes.setText("\n".join(f"{m.info.name}: {m.note}" for m in running if m.note))
        self.notes.setVisible(bool(self.notes.text()))

    def _unload(self) -> None:
        row: RunningModel | None = self.grid.current
        if row is None:
            return
        name = str(row.info.name)
        failed = self.act_failed(tr("{name} cannot be unloaded", name=name))
        self.link.call(lambda client: client.unload(name), lambda _: self.link.look(), failed)
