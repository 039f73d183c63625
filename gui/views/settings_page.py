"""Settings: how the app looks and speaks, what the daemon does, and who may use it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices, QFont
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFontComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from gui import autostart
from gui.diagnostics import write_report
from gui.models.setting_fields import ELSEWHERE
from gui.pages import House
from gui.settings import Choices
from gui.theme import L, M, S
from gui.views.daemon_settings import DaemonSettings, RestartBar, SettingsSource
from gui.views.folder_panel import FolderPanel
from gui.views.key_panel import KeyPanel
from gui.views.sheet import Sheet, card, scrolled
from gui.views.token_panel import TokenPanel
from gui.widgets.ask import ask_text
from gui.widgets.keys_dialog import KeysDialog
from gui.words import LANGUAGES, tr
from runner.client.decode_keeping import KeptSettings
from runner.errors import CorralError, StoreError

_THEMES: tuple[tuple[str, str], ...] = (
    ("", "As the system"),
    ("light", "Light"),
    ("dark", "Dark"),
    ("contrast", "High contrast"),
)


class SettingsPage(Sheet):
    """Every change holds at once, or says when it will."""

    title = "Settings"

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.theme, self.language = QComboBox(), QComboBox()
        self.font_px, self.family = QSpinBox(), QFontComboBox()
        self.font_px.setRange(10, 32)
        self.font_px.setSuffix(" px")
        self.family.setEditable(False)
        self.dense, self.notifies, self.login = QCheckBox(), QCheckBox(), QCheckBox()
        self.source = SettingsSource(self.link, self)
        self.keys = KeyPanel(self.link)
        self.folder = FolderPanel(self.link)
        self.tokens = TokenPanel(self.source)
        self.topics: dict[str, DaemonSettings] = {}
        self.restart = RestartBar(self.source)
        self.tabs = QTabWidget()
        self._parts: dict[str, int] = {}
        self._add_tabs()
        self.column.addWidget(self.restart)
        self.column.addWidget(self.tabs, 1)
        self.show_choices(house.settings.choices)
        house.settings.changed.connect(self.show_choices)
        self._connect()

    def refresh(self) -> None:
        """Ask the daemon for its settings and keys."""
        self.source.refresh()
        self.keys.refresh()
        self.folder.refresh()

    def entered(self) -> None:
        super().entered()
        self.link.call(lambda _: autostart.is_on(), self._show_login)

    def show_part(self, part: str) -> None:
        """``app``, ``models``, ``network``, ``downloads`` or ``privacy``."""
        self.tabs.setCurrentIndex(self._parts.get(part, self.tabs.currentIndex()))

    def show_down(self, error: CorralError) -> None:
        self.banner.show_error(tr("The daemon does not answer"), error)

    def retranslate(self) -> None:
        super().retranslate()
        self.keys.say_again()
        self.folder.say_again()
        self.tokens.say_again()
        self.restart.say_again()
        for topic in self.topics.values():
            topic.say_again()

    def show_choices(self, choices: Choices) -> None:
        """Show what is chosen; changes nothing."""
        boxes = (self.theme, self.language, self.font_px, self.family, self.dense, self.notifies)
        for box in boxes:
            box.blockSignals(True)
        self.theme.setCurrentIndex(max(0, self.theme.findData(choices.theme)))
        self.language.setCurrentIndex(max(0, self.language.findData(choices.language)))
        self.font_px.setValue(choices.font_px)
        self.family.setCurrentFont(QFont(choices.family) if choices.family else QFont())
        self.dense.setChecked(choices.is_dense)
        self.notifies.setChecked(choices.notifies)
        for box in boxes:
            box.blockSignals(False)

    def export_diagnostics(self, path: Path) -> None:
        """Write the report there, on another thread."""
        paths, version = self.link.paths, self.link.state.version

        def write(_: object) -> None:
            try:
                write_report(path, paths, version)
            except OSError as error:
                raise StoreError(f"cannot write {path}: {error.strerror}") from None

        self.link.call(
            write,
            lambda _: self.banner.show_note(tr("Written to {path}", path=path)),
            self.act_failed(tr("The report cannot be written")),
        )

    def _connect(self) -> None:
        change = self.house.settings.change
        self.theme.activated.connect(lambda _: change(theme=self.theme.currentData()))
        self.language.activated.connect(lambda _: change(language=self.language.currentData()))
        self.font_px.valueChanged.connect(lambda value: change(font_px=value))
        self.family.activated.connect(lambda _: change(family=self.family.currentFont().family()))
        self.dense.toggled.connect(lambda is_on: change(is_dense=is_on))
        self.notifies.toggled.connect(lambda is_on: change(notifies=is_on))
        self.login.clicked.connect(self._turn_login)
        self.keys.failed.connect(self.banner.show_error)
        self.folder.failed.connect(self.banner.show_error)
        self.source.failed.connect(
            lambda error: self.banner.show_error(tr("The settings cannot be read"), error)
        )
        self.source.told.connect(self._took_settings)
        self.restart.asked.connect(self._start_again)

    # The tabs

    def _add_tabs(self) -> None:
        self._tab("app", lambda: tr("App"), self._appearance(), self._folders())
        topic = self._topic
        self._tab(
            "models",
            lambda: tr("Models"),
            topic("models", lambda: tr("Models")),
            topic("others", lambda: tr("Others")),
        )
        self._tab(
            "network",
            lambda: tr("Network"),
            topic("network", lambda: tr("Who may use the daemon")),
            _carded(self.keys),
        )
        self._tab(
            "downloads",
            lambda: tr("Downloads"),
            topic("downloads", lambda: tr("Downloads")),
            _carded(self.tokens),
        )
        self._tab(
            "privacy",
            lambda: tr("Privacy and help"),
            self._privacy(),
            topic("privacy", lambda: tr("What the daemon keeps")),
            self._help(),
            self._resets(),
        )

    def _tab(self, part: str, text: Callable[[], str], *cards: QWidget) -> None:
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, M, S, 0)
        column.setSpacing(M)
        for one in cards:
            column.addWidget(one)
        column.addStretch()
        area = scrolled(inner)
        at = self._parts[part] = self.tabs.addTab(area, "")
        self.say(partial(self.tabs.setTabText, at), text)
        self.say(area.setAccessibleName, text)

    def _topic(self, topic: str, title: Callable[[], str]) -> QWidget:
        made = self.topics[topic] = DaemonSettings(self.source, topic, title)
        return _carded(made)

    def _appearance(self) -> QWidget:
        frame, form = self._section(lambda: tr("Appearance"))
        for value, words in _THEMES:
            self._add_item(self.theme, value, partial(tr, words))
        self._add_item(self.language, "", lambda: tr("As the system"))
        for value, name in LANGUAGES.items():
            self.language.addItem(name, value)
        self._row(form, lambda: tr("Theme"), self.theme)
        self._row(form, lambda: tr("Language"), self.language)
        self._row(form, lambda: tr("Font"), self.family)
        self._row(form, lambda: tr("Size of text"), self.font_px)
        self.say(self.dense.setText, lambda: tr("Rows stand closer"))
        self.say(self.notifies.setText, lambda: tr("Tell when a download or an answer is done"))
        self.say(self.login.setText, lambda: tr("Start when I log in"))
        for box in (self.dense, self.notifies, self.login):
            form.addRow("", box)
        return frame

    def _folders(self) -> QWidget:
        frame, form = self._section(lambda: tr("Folders"))
        paths = self.link.paths
        self._row(form, lambda: tr("Models"), self.folder)
        folders: tuple[tuple[Callable[[], str], Path], ...] = (
            (lambda: tr("Logs"), paths.logs),
            (lambda: tr("The app's own"), self.house.settings.folder),
            (lambda: tr("Settings of the daemon"), paths.config_file.parent),
        )
        for text, folder in folders:
            field = QLineEdit(str(folder))
            field.setReadOnly(True)
            field.setCursorPosition(0)
            opener = QPushButton()
            self.say(opener.setText, lambda: tr("Open"))
            opener.clicked.connect(
                lambda _=False, folder=folder: QDesktopServices.openUrl(
                    QUrl.fromLocalFile(str(folder))
                )
            )
            self.say(field.setAccessibleName, text)
            self.say(opener.setAccessibleName, partial(_open_words, text))
            self._row(form, text, _side_by_side(field, opener))
        form.addRow(
            self.label(lambda: tr("CORRAL_HOME in the environment moves them all."), "muted")
        )
        return frame

    def _privacy(self) -> QWidget:
        frame, form = self._section(lambda: tr("Privacy"))
        form.addRow(
            self.label(
                lambda: tr(
                    "Nothing is sent anywhere: chats and answers stay on this machine, and hubs"
                    " are asked only for what you search and download."
                ),
                "muted",
            )
        )
        return frame

    def _help(self) -> QWidget:
        frame, form = self._section(lambda: tr("When something is wrong"))
        export = self.button(lambda: tr("Export diagnostics…"), self._choose_report)
        keys = self.button(lambda: tr("All keys…"), lambda: KeysDialog(self.window()).open())
        form.addRow(_at_left(export, keys))
        form.addRow(
            self.label(
                lambda: tr("Versions, settings and the log; no chats, and secrets removed."),
                "muted",
            )
        )
        return frame

    def _resets(self) -> QWidget:
        frame, form = self._section(lambda: tr("Reset"))
        form.addRow(
            self.label(lambda: tr("Forgets what was chosen here. Chats and models stay."), "muted")
        )
        form.addRow(
            _at_left(
                self.button(lambda: tr("Reset the app…"), self._ask_reset, role="danger"),
                self.button(
                    lambda: tr("Reset the daemon's settings…"),
                    self._ask_reset_daemon,
                    role="danger",
                ),
            )
        )
        return frame

    # What a person does

    def _show_login(self, is_on: bool) -> None:
        self.login.setChecked(is_on)

    def _turn_login(self, is_on: bool) -> None:
        def failed(error: CorralError) -> None:
            self.login.setChecked(not is_on)
            self.banner.show_error(tr("The app cannot start by itself"), error)

        self.link.call(lambda _: autostart.turn(is_on), self._show_login, failed)

    def _start_again(self) -> None:
        self.banner.hide()
        failed = self.act_failed(tr("The daemon cannot be stopped"))
        self.link.call(lambda client: client.shutdown(), lambda _: self.link.look(), failed)

    def _took_settings(self, _: KeptSettings) -> None:
        if self.is_up:
            self.banner.hide()

    def _ask_reset(self) -> None:
        self._ask_word(
            tr("Reset the app?"),
            tr("Type “{word}” to forget the app's choices.", word=tr("reset")),
            self.house.settings.reset,
        )

    def _ask_reset_daemon(self) -> None:
        self._ask_word(
            tr("Reset the daemon's settings?"),
            tr("Type “{word}” to take all of them back to their defaults.", word=tr("reset")),
            self._reset_daemon,
        )

    def _reset_daemon(self) -> None:
        kept = self.source.kept
        if kept is not None:
            names = {state.name for state in kept.settings if state.source == "file"}
            self.source.change_all(dict.fromkeys(sorted(names - ELSEWHERE)))  # models stay in sight

    def _ask_word(self, title: str, text: str, act: Callable[[], object]) -> None:
        word = tr("reset")
        ask_text(
            self,
            title,
            text,
            tr("Reset"),
            lambda _: act(),
            is_good=lambda typed: typed.strip().casefold() == word.casefold(),
            is_danger=True,
        )

    def _choose_report(self) -> None:
        dialog = QFileDialog(self, tr("Export diagnostics…"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("txt")
        dialog.selectFile("corral-diagnostics.txt")
        dialog.fileSelected.connect(lambda path: self.export_diagnostics(Path(path)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    # Parts

    def _section(self, text: Callable[[], str]) -> tuple[QWidget, QFormLayout]:
        frame, column = card(spacing=M)
        column.addWidget(self.label(text, "heading"))
        form = QFormLayout()
        form.setHorizontalSpacing(L)
        form.setVerticalSpacing(S)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        column.addLayout(form)
        return frame, form

    def _row(self, form: QFormLayout, text: Callable[[], str], field: QWidget) -> None:
        name = QLabel()
        name.setMinimumWidth(150)
        name.setBuddy(field)
        self.say(name.setText, text)
        if isinstance(field, QComboBox | QSpinBox):
            self.say(field.setAccessibleName, text)
            field.setMaximumWidth(280)
        form.addRow(name, field)

    def _add_item(self, box: QComboBox, value: str, text: Callable[[], str]) -> None:
        box.addItem("", value)
        at = box.count() - 1
        self.say(partial(box.setItemText, at), text)


def _carded(inner: QWidget) -> QWidget:
    frame, column = card(spacing=M)
    column.addWidget(inner)
    return frame


def _side_by_side(wide: QWidget, narrow: QWidget) -> QWidget:
    both = QWidget()
    row = QHBoxLayout(both)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(S)
    row.addWidget(wide, 1)
    row.addWidget(narrow)
    both.setFocusProxy(wide)
    return both


def _at_left(*widgets: QWidget) -> QWidget:
    whole = QWidget()
    row = QHBoxLayout(whole)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(S)
    for widget in widgets:
        row.addWidget(widget)
    row.addStretch()
    return whole


def _open_words(name: Callable[[], str]) -> str:
    return tr("Open the folder: {name}", name=name())
