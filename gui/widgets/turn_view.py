"""One turn of a chat: its text, what the model thought before, figures and buttons.

It shows and asks; what a button does is the page's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPlainTextEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gui.chats.tree import Turn
from gui.icons import dress
from gui.models.figures import figures_text, seconds
from gui.theme import THEME, XS, M, S
from gui.titles import title_of
from gui.ways import Acts
from gui.widgets.chat_bar import ElidedLabel
from gui.widgets.markdown_view import MarkdownView
from gui.widgets.pictures import PictureRow
from gui.widgets.way_row import WayRow
from gui.words import tr

#: Pixels of the editor, and the characters that a line of it has, roughly.
_LOWEST, _TALLEST, _LINE_CHARS = 80, 320, 90
#: The icons of its buttons.
ICONS = ("chevron-right", "chevron-left", "copy", "edit", "retry", "play")


class TurnView(QFrame):
    """Shows a turn; ``show_turn`` again when it grew.

    Signals:
        retried: Answer again, by the model with this name; empty: the same.
        continued: Go on with the answer.
        edited: Say this instead; the editor stays until ``end_edit``.
        typed: What stands in the editor, ``None`` when it is closed.
        stepped: Show the version so many places on.
    """

    retried = Signal(str)
    continued = Signal()
    edited = Signal(str)
    typed = Signal(object)
    stepped = Signal(int)

    def __init__(
        self, turn: Turn, models: Callable[[], list[str]], acts: Callable[[], Acts] = dict
    ) -> None:
        """Build an empty view.

        Args:
            turn: What ``show_turn`` will show.
            models: Tells who could answer.
            acts: Tells what can be done about an error of this turn.
        """
        super().__init__()
        self.turn = turn
        self._models = models
        self._acts = acts
        self._is_user = turn.role == "user"
        self._editor: QWidget | None = None
        self._field: QPlainTextEdit | None = None
        self._asked: float | None = None
        self.setObjectName("said" if self._is_user else "answer")
        self._who = QLabel()
        self._who.setProperty("role", "who")
        self._fold = _tool("chevron-right")
        self._fold.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._fold.setCheckable(True)
        self._fold.toggled.connect(self._fold_out)
        self._thinking = MarkdownView()
        self._thinking.hide()
        self.pictures = PictureRow()
        self.body = MarkdownView()
        self._waiting = QLabel()
        self._waiting.setProperty("role", "muted")
        self._waiting.hide()
        self._error = _ErrorCard()
        self._error.retry.clicked.connect(lambda: self.retried.emit(""))
        self._buttons = _Buttons(self)
        self._column = QVBoxLayout(self)
        side = M if self._is_user else 0
        self._column.setContentsMargins(side, S, side, XS)
        self._column.setSpacing(XS)
        above = (self._who, self._fold, self._thinking, self.pictures)
        for widget in (*above, self.body, self._waiting):
            self._column.addWidget(widget)
        # Only now: a widget without a parent that is made visible is a window for a moment.
        self._who.setVisible(not self._is_user)  # the ground says it
        self._column.addWidget(self._error)
        self._column.addWidget(self._buttons)
        self._clock = QTimer(self)
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self._tell_waiting)
        self.retranslate()

    @property
    def is_in_use(self) -> bool:
        """Whether it holds what another view of the turn would not: focus, selection, an edit."""
        cursors = (self.body.textCursor(), self._thinking.textCursor())
        if self._editor is not None or self._fold.isChecked():
            return True
        focus = QApplication.focusWidget()
        has_focus = focus is not None and self.isAncestorOf(focus)
        return has_focus or any(cursor.hasSelection() for cursor in cursors)

    def show_turn(self, turn: Turn, *, is_open: bool, branch: tuple[int, int]) -> None:
        """Show ``turn`` as it is now.

        Args:
            turn: The turn.
            is_open: Whether it is being written.
            branch: Which of how many versions it is.
        """
        self.turn = turn
        self.pictures.show_pictures(turn.images)
        self.body.set_text(turn.text, is_whole=not is_open)
        self._fold.setVisible(bool(turn.thinking))
        if turn.thinking and self._fold.isChecked():
            self._thinking.set_text(turn.thinking, is_whole=not is_open)
        error = turn.figures.get("error")
        acts = {**self._acts(), "other-model": self.offer_models} if error else {}
        self._error.show_error(error, acts)
        self._buttons.show_turn(turn, is_open=is_open, branch=branch)
        self._name_fold(is_open)
        self.setAccessibleName(self._who.text())

    def show_waiting(self, asked: float | None, phase: str) -> None:
        """Say what is being waited for since ``asked``; ``None``: nothing is."""
        self._asked, self._phase = asked, phase
        self._waiting.setVisible(asked is not None)
        if asked is None:
            self._clock.stop()
            return
        self._clock.start()
        self._tell_waiting()

    def retranslate(self) -> None:
        """The language changed."""
        self._who.setText(tr("You") if self._is_user else self.turn.model or tr("Assistant"))
        self._thinking.setAccessibleName(tr("Thinking"))
        self.body.setAccessibleName(tr("Text of the turn"))
        self._buttons.retranslate()
        self._error.retranslate()
        self._name_fold(False)

    def edit(self) -> None:
        """Let the user change the text."""
        if self._field is None:
            self.go_on_editing(self.turn.text)
        if self._field is not None:
            self._field.setFocus()

    def go_on_editing(self, text: str) -> None:
        """Show the editor with what was typed into it before."""
        field = self._field = QPlainTextEdit(text)
        field.setAccessibleName(tr("Edit the turn"))
        n_lines = sum(1 + len(line) // _LINE_CHARS for line in text.split("\n"))
        height = round(n_lines * 1.5 * THEME.font_px) + 2 * M
        field.setMinimumHeight(min(max(_LOWEST, height), _TALLEST))
        field.setTabChangesFocus(True)
        field.textChanged.connect(lambda: self.typed.emit(field.toPlainText()))
        keep = QPushButton(tr("Send") if self._is_user else tr("Save"))
        keep.setProperty("role", "primary")
        leave = QPushButton(tr("Cancel"))
        row = QHBoxLayout()
        row.setSpacing(S)
        row.addStretch()
        row.addWidget(leave)
        row.addWidget(keep)
        self._editor = QWidget()
        column = QVBoxLayout(self._editor)
        column.setContentsMargins(0, 0, 0, XS)
        column.addWidget(field)
        column.addLayout(row)
        keep.clicked.connect(self._send_edit)
        leave.clicked.connect(self.end_edit)
        for keys in ("Ctrl+Return", "Ctrl+Enter"):
            QShortcut(
                QKeySequence(keys),
                self._editor,
                self._send_edit,
                context=Qt.ShortcutContext.WidgetWithChildrenShortcut,
            )
        self._column.insertWidget(self._column.indexOf(self.body), self._editor)
        self.body.hide()
        self._buttons.hide()
        field.moveCursor(field.textCursor().MoveOperation.End)

    @Slot()
    def end_edit(self) -> None:
        """Close the editor; what was typed is given up, or said."""
        if self._editor is not None:
            self._editor.hide()
            self._editor.deleteLater()
            self._editor = self._field = None
        self.body.show()
        self._buttons.show()
        self.body.setFocus()  # else it goes wherever Qt finds a place
        self.typed.emit(None)

    @Slot()
    def _send_edit(self) -> None:
        text = self._field.toPlainText() if self._field is not None else ""
        if text.strip() and text != self.turn.text:
            self.edited.emit(text)
        else:
            self.end_edit()

    def _fold_out(self, is_out: bool) -> None:
        dress(self._fold, "chevron-down" if is_out else "chevron-right", "muted")
        if is_out:
            self._thinking.set_text(self.turn.thinking, is_whole=self.turn.is_whole)
        self._thinking.setVisible(is_out)

    def _name_fold(self, is_open: bool) -> None:
        took = self.turn.figures.get("thinking_s")
        if is_open and not self.turn.text:
            self._fold.setText(tr("Thinking…"))
        elif took is None:
            self._fold.setText(tr("Thoughts"))
        else:
            self._fold.setText(tr("Thought for {time}", time=seconds(float(took))))

    def _tell_waiting(self) -> None:
        if self._asked is not None:
            waited = time.monotonic() - self._asked
            more = f" {seconds(int(waited))}" if waited >= 1 else ""
            self._waiting.setText(self._phase + more)

    def offer_models(self) -> None:
        """Let one choose who answers instead."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.fill_models(menu)
        menu.popup(self._error.mapToGlobal(self._error.rect().bottomLeft()))

    def fill_models(self, menu: QMenu) -> None:
        """Have a menu retry with the model that is chosen in it."""
        for name in self._models():
            action = menu.addAction(name)
            action.triggered.connect(lambda _=False, name=name: self.retried.emit(name))


class _Buttons(QWidget):
    """The row under a turn."""

    def __init__(self, view: TurnView) -> None:
        super().__init__()
        self._view = view
        self._is_user = view.turn.role == "user"
        self._back, self._on = _tool("chevron-left"), _tool("chevron-right")
        self._branch = QLabel()
        self._branch.setProperty("role", "muted")
        self._copy, self._edit = _tool("copy"), _tool("edit")
        self._retry, self._go_on = _tool("retry"), _tool("play")
        self._figures = ElidedLabel()  # the row may not keep the turn from being narrow
        self._figures.setProperty("role", "small")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        if self._is_user:
            row.addStretch()
        for widget in (self._back, self._branch, self._on, self._copy, self._edit):
            row.addWidget(widget)
        for widget in (self._retry, self._go_on):
            row.addWidget(widget)
        row.addSpacing(S)
        row.addWidget(self._figures, 0 if self._is_user else 1)
        self._back.clicked.connect(lambda: view.stepped.emit(-1))
        self._on.clicked.connect(lambda: view.stepped.emit(1))
        self._copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(view.turn.text))
        self._edit.clicked.connect(view.edit)
        self._go_on.clicked.connect(view.continued)
        self._retry.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self._retry.clicked.connect(lambda: view.retried.emit(""))
        self._menu = QMenu(self)
        self._menu.aboutToShow.connect(self._fill)
        self._retry.setMenu(self._menu)

    def show_turn(self, turn: Turn, *, is_open: bool, branch: tuple[int, int]) -> None:
        """Show what can be done with ``turn``."""
        index, n_all = branch
        for widget in (self._back, self._branch, self._on):
            widget.setVisible(n_all > 1 and not is_open)
        self._branch.setText(f"{index}/{n_all}")
        self._back.setEnabled(index > 1)
        self._on.setEnabled(index < n_all)
        self._copy.setVisible(bool(turn.text))
        self._edit.setVisible(not is_open and bool(turn.text))
        self._retry.setVisible(not self._is_user and not is_open)
        is_cut = turn.figures.get("reason") in ("length", "stopped") or not turn.is_whole
        self._go_on.setVisible(not self._is_user and not is_open and is_cut and bool(turn.text))
        self._figures.set_whole("" if self._is_user or is_open else figures_text(turn.figures))

    def retranslate(self) -> None:
        """The language changed."""
        for button, text in (
            (self._back, tr("Earlier version")),
            (self._on, tr("Later version")),
            (self._copy, tr("Copy")),
            (self._edit, tr("Edit")),
            (self._retry, tr("Answer again; the arrow has other models")),
            (self._go_on, tr("Continue")),
        ):
            button.setToolTip(text)
            button.setAccessibleName(text)

    def _fill(self) -> None:
        self._menu.clear()
        self._view.fill_models(self._menu)


class _ErrorCard(QFrame):
    """Why there is no answer, what helps, and a button for it."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("card")
        self._told: Mapping[str, object] = {}
        self._title, self._text = QLabel(), QLabel()
        self._title.setProperty("role", "bad")
        self._text.setProperty("role", "muted")
        for label in (self._title, self._text):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(
                Qt.TextInteractionFlag.TextSelectableByMouse
                | Qt.TextInteractionFlag.TextSelectableByKeyboard
            )
        self.retry, self._copy = QPushButton(), QPushButton()
        self._copy.clicked.connect(self._copy_details)
        self._ways = WayRow()
        row = QHBoxLayout()
        row.addWidget(self.retry)
        row.addWidget(self._copy)
        row.addStretch()
        column = QVBoxLayout(self)
        column.setSpacing(XS)
        column.addWidget(self._title)
        column.addWidget(self._text)
        column.addWidget(self._ways)
        row.setSpacing(S)
        column.addLayout(row)
        self.hide()

    def show_error(self, error: object, acts: Acts) -> None:
        """Show ``message``, ``hint`` and ``code``; anything but those hides the card.

        ``acts``: what can be done about it, by ``Way.act``.
        """
        self._told = told = error if isinstance(error, dict) else {}
        lines = (told.get("message"), told.get("hint"), f"[{told.get('code', '')}]")
        self._title.setText(title_of(told.get("code")))
        self._text.setText("\n".join(str(line) for line in lines if line))
        self._ways.show_code(told.get("code"), acts)
        self.setVisible(bool(told))

    def retranslate(self) -> None:
        """The language changed."""
        self.retry.setText(tr("Try again"))
        self._copy.setText(tr("Copy details"))
        self._title.setText(title_of(self._told.get("code")))
        self._ways.retranslate()

    def _copy_details(self) -> None:
        QGuiApplication.clipboard().setText(f"{self._title.text()}\n{self._text.text()}")


def _tool(name: str) -> QToolButton:
    button = QToolButton()
    dress(button, name, "muted")
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    button.setProperty("role", "quiet")
    return button
