"""The line above a chat: its title, who answers, how full the context is, and its menu."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QSizePolicy,
    QToolButton,
)

from gui.chats.storage import Chat
from gui.icons import dress
from gui.models.figures import Context
from gui.theme import M, S
from gui.widgets.gauge import ContextGauge
from gui.words import tr


class ChatBar(QFrame):
    """Signals only; what becomes of them is the page's.

    Signals:
        model_chosen: The model with this name is to answer.
        asked: ``rename``, ``pin``, ``export-md``, ``export-json`` or ``delete``.
        parameters_shown: Whether the panel is to be seen.
    """

    model_chosen = Signal(str)
    asked = Signal(str)
    parameters_shown = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("bar")
        self._chat = Chat()
        self._is_temporary = False
        self._loaded: frozenset[str] = frozenset()
        self._title = ElidedLabel()
        self._title.setProperty("role", "heading")
        self.models = QComboBox()
        self.models.setMinimumWidth(150)
        self.models.setMaximumWidth(300)
        self.models.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.models.activated.connect(self._on_model)
        self._gauge = ContextGauge()
        self.parameters = QToolButton()
        dress(self.parameters, "sliders")
        self.parameters.setCheckable(True)
        self.parameters.toggled.connect(self.parameters_shown)
        self._more = QToolButton()
        dress(self._more, "more")
        self._more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._menu = QMenu(self)
        self._menu.aboutToShow.connect(self._fill_menu)
        self._more.setMenu(self._menu)
        row = QHBoxLayout(self)
        row.setContentsMargins(M, S, M, S)
        row.setSpacing(S)
        row.addWidget(self._title, 1)
        for widget in (self._gauge, self.models, self.parameters, self._more):
            row.addWidget(widget)
        self.retranslate()

    def show_chat(self, chat: Chat, *, is_temporary: bool) -> None:
        """Show the fields of a chat."""
        self._chat, self._is_temporary = chat, is_temporary
        title = chat.title or tr("New chat")
        self._title.set_whole(f"{title} · {tr('not kept')}" if is_temporary else title)
        self._show_model()

    def show_models(self, names: list[str], loaded: frozenset[str]) -> None:
        """Offer these; a dot marks those in memory."""
        held = [str(self.models.itemData(i)) for i in range(self.models.count())]
        if held == names and loaded == self._loaded:
            return
        self._loaded = loaded
        self.models.clear()
        for name in names:
            self.models.addItem(f"● {name}" if name in loaded else name, name)
        self._show_model()

    def show_context(self, context: Context) -> None:
        """Show how full the context is."""
        self._gauge.show_context(context)

    def retranslate(self) -> None:
        """The language changed."""
        self.models.setToolTip(f"{tr('Who answers; ● is in memory')} (Ctrl+L)")
        self.models.setAccessibleName(tr("Model"))
        for button, text in ((self.parameters, tr("Parameters")), (self._more, tr("More"))):
            button.setToolTip(text)
            button.setAccessibleName(text)
        self.show_chat(self._chat, is_temporary=self._is_temporary)

    def _show_model(self) -> None:
        place = self.models.findData(self._chat.model)
        if place < 0 and self._chat.model and self.models.count():
            # It answered here and is gone from the library: it stays to be seen.
            self.models.addItem(tr("{name} (missing)", name=self._chat.model), self._chat.model)
            place = self.models.count() - 1
        self.models.setCurrentIndex(place)

    def _on_model(self, place: int) -> None:
        self.model_chosen.emit(str(self.models.itemData(place)))

    def _fill_menu(self) -> None:
        self._menu.clear()
        entries = [
            ("rename", tr("Rename…")),
            ("pin", tr("Unpin") if self._chat.is_pinned else tr("Pin")),
            ("export-md", tr("Export as Markdown…")),
            ("export-json", tr("Export as JSON…")),
            ("delete", tr("Delete")),
        ]
        for what, text in entries:
            if self._is_temporary and what in ("rename", "pin", "delete"):
                continue
            action = self._menu.addAction(text)
            action.triggered.connect(lambda _=False, what=what: self.asked.emit(what))


class ElidedLabel(QLabel):
    """A line that ends in an ellipsis where there is no room."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setTextFormat(Qt.TextFormat.PlainText)

    def set_whole(self, text: str) -> None:
        """Show ``text``, or as much of it as there is room for."""
        self._whole = text
        self.setText(text)  # what a screen reader says
        self.setToolTip(text)

    def minimumSizeHint(self) -> QSize:
        """A few letters."""
        return QSize(60, super().minimumSizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw what there is room for."""
        painter = QPainter(self)
        shown = self.fontMetrics().elidedText(
            self._whole, Qt.TextElideMode.ElideRight, self.width()
        )
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter, shown)
