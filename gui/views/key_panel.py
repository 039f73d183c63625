"""API keys: what lets programs and people of other computers in; made, listed and taken away."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from gui.icons import dress
from gui.link import Link
from gui.models.key_table import SCOPES, key_table
from gui.models.table import Sorted
from gui.theme import XL, L, M, S
from gui.widgets.ask import confirm
from gui.widgets.grid import Grid
from gui.widgets.spoken import Spoken
from gui.words import tr
from runner.client.client import Client
from runner.domain.key import Key, Scope
from runner.errors import CorralError

_SPANS = (("", "never"), ("30d", "in 30 days"), ("90d", "in 90 days"), ("365d", "in a year"))
_MOST_A_MINUTE = 1_000_000


class KeyPanel(QWidget, Spoken):
    """The list with its buttons; ``refresh`` asks for it.

    Signals:
        failed: A title, and the ``CorralError`` to show under it.
    """

    failed = Signal(str, object)

    def __init__(self, link: Link) -> None:
        QWidget.__init__(self)
        Spoken.__init__(self)
        self._link = link
        self.table = key_table()
        self.grid = Grid(Sorted(self.table, self), widths=(160, 180, 150, 150, 110, 110))
        self.grid.setMinimumHeight(150)
        heading, words, self.nothing = QLabel(), QLabel(), QLabel()
        heading.setProperty("role", "heading")
        for label in (words, self.nothing):
            label.setProperty("role", "muted")
            label.setWordWrap(True)
        self.new, self.revoke = QPushButton(), QPushButton()
        dress(self.new, "plus")
        self.revoke.setProperty("role", "danger")
        self.revoke.setEnabled(False)
        self.new.clicked.connect(lambda _=False: self._ask())
        self.revoke.clicked.connect(lambda _=False: self._ask_revoke(self.grid.current))
        self.grid.chosen.connect(lambda key: self.revoke.setEnabled(key is not None))
        self.grid.deleted_row.connect(self._ask_revoke)
        self.say(heading.setText, lambda: tr("API keys"))
        self.say(
            words.setText,
            lambda: tr(
                "Programs of this computer need none; other computers do, once they are let in."
            ),
        )
        self.say(self.nothing.setText, lambda: tr("There are no keys."))
        self.say(self.new.setText, lambda: tr("New key…"))
        self.say(self.revoke.setText, lambda: tr("Take away…"))
        self.say(self.grid.setAccessibleName, lambda: tr("API keys"))
        buttons = QHBoxLayout()
        buttons.setSpacing(S)
        buttons.addWidget(self.new)
        buttons.addWidget(self.revoke)
        buttons.addStretch()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(S)
        for widget in (heading, words, self.nothing, self.grid):
            column.addWidget(widget)
        column.addLayout(buttons)
        self._show([])

    def refresh(self) -> None:
        """Ask which keys there are."""
        self._link.call(lambda client: client.keys(), self._show, self._not_read)

    def _show(self, keys: list[Key]) -> None:
        self.table.set_rows(keys)
        self.table.refresh()
        self.grid.setVisible(bool(keys))
        self.revoke.setVisible(bool(keys))
        self.nothing.setVisible(not keys)

    def _not_read(self, error: CorralError) -> None:
        self.failed.emit(tr("The keys cannot be read"), error)

    def _ask(self) -> None:
        dialog = NewKey(self)
        dialog.accepted.connect(lambda: self._make(dialog))
        dialog.open()

    def _make(self, asked: NewKey) -> None:
        name, scopes, models = asked.name.text().strip(), asked.scopes(), asked.model_names()
        n_per_minute, expires = asked.rate.value(), asked.span.currentData() or None

        def make(client: Client) -> tuple[Key, str]:
            return client.add_key(
                name, scopes=scopes, models=models, n_per_minute=n_per_minute, expires=expires
            )

        def made(told: tuple[Key, str]) -> None:
            self.refresh()
            ShownKey(self, told[0].name, told[1]).open()

        title = tr("The key cannot be made")
        self._link.call(make, made, lambda error: self.failed.emit(title, error))

    def _ask_revoke(self, key: Key | None) -> None:
        if key is None:
            return
        confirm(
            self,
            tr("Take the key “{name}” away?", name=key.name),
            tr("Whoever uses it is refused from now on."),
            tr("Take away"),
            lambda: self._revoke(key.id),
        )

    def _revoke(self, key_id: str) -> None:
        title = tr("The key cannot be taken away")
        self._link.call(
            lambda client: client.revoke_key(key_id),
            lambda _: self.refresh(),
            lambda error: self.failed.emit(title, error),
        )


class NewKey(QDialog):
    """Asks for whom a key is, and what it opens."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("New key"))
        self.setMinimumWidth(460)
        self.name, self.models = QLineEdit(), QLineEdit()
        self.name.setMaxLength(80)
        self.scope, self.span, self.rate = QComboBox(), QComboBox(), QSpinBox()
        self.models.setPlaceholderText(tr("all, or names with spaces between"))
        for scope, words in SCOPES:
            self.scope.addItem(tr(words), scope)
        for span, words in _SPANS:
            self.span.addItem(tr(words), span)
        self.rate.setRange(0, _MOST_A_MINUTE)
        self.rate.setSpecialValueText(tr("no limit"))
        form = QFormLayout()
        form.setHorizontalSpacing(L)
        form.setVerticalSpacing(S)
        for text, field in (
            (tr("For whom or what"), self.name),
            (tr("Opens"), self.scope),
            (tr("Models"), self.models),
            (tr("Requests a minute"), self.rate),
            (tr("Ends"), self.span),
        ):
            field.setAccessibleName(text)
            form.addRow(text, field)
        buttons = QDialogButtonBox()
        self.act = QPushButton(tr("Make the key"))
        self.act.setProperty("role", "primary")
        self.act.setEnabled(False)
        self.act.setDefault(True)
        buttons.addButton(self.act, QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.addButton(QPushButton(tr("Cancel")), QDialogButtonBox.ButtonRole.RejectRole)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        self.name.textChanged.connect(lambda text: self.act.setEnabled(bool(text.strip())))
        column = QVBoxLayout(self)
        column.setContentsMargins(XL, XL, XL, XL)
        column.setSpacing(M)
        column.addLayout(form)
        column.addWidget(buttons)

    def scopes(self) -> list[str]:
        """Return what the key shall open; what opens more opens the rest too."""
        wanted = [scope for scope, _ in SCOPES]
        last: Scope = self.scope.currentData()
        return [scope.value for scope in wanted[: wanted.index(last) + 1]]

    def model_names(self) -> list[str] | None:
        """Return the models it may name; ``None``: all."""
        return self.models.text().replace(",", " ").split() or None


class ShownKey(QDialog):
    """Shows a new key's secret, the only time that it can be seen."""

    def __init__(self, parent: QWidget, name: str, secret: str) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("The key for {name}", name=name))
        self.setMinimumWidth(520)
        words = QLabel(tr("Copy it now: nobody can show it again."))
        words.setWordWrap(True)
        self.secret = QLineEdit(secret)
        self.secret.setReadOnly(True)
        self.secret.setAccessibleName(tr("The key for {name}", name=name))
        self.secret.setStyleSheet("font-family: monospace;")
        copy = QPushButton(tr("Copy"))
        copy.setProperty("role", "primary")
        dress(copy, "copy", "on_accent")
        copy.clicked.connect(lambda _=False: QGuiApplication.clipboard().setText(secret))
        close = QPushButton(tr("Close"))
        close.clicked.connect(lambda _=False: self.accept())
        row = QHBoxLayout()
        row.setSpacing(S)
        row.addWidget(self.secret, 1)
        row.addWidget(copy)
        column = QVBoxLayout(self)
        column.setContentsMargins(XL, XL, XL, XL)
        column.setSpacing(M)
        column.addWidget(words)
        column.addLayout(row)
        column.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)
