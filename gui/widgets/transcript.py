"""The turns of a chat, one under the other; it follows an answer that grows."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QPushButton, QScrollArea, QVBoxLayout, QWidget

from gui.chats.conversation import Conversation
from gui.chats.tree import Turn
from gui.models.figures import waiting_text
from gui.theme import XL, M
from gui.widgets.turn_view import TurnView
from gui.words import tr

#: Turns shown at first, and added by the button above them.
_N_SHOWN = 30
#: Pixels: longer lines are hard to read.
WIDEST = 800
#: Pixels from the end that count as being there.
_NEAR = 40


class Transcript(QScrollArea):
    """Shows one conversation.

    Signals:
        busy_asked: Something was asked that must wait until the answer has ended.
    """

    busy_asked = Signal()

    def __init__(self, models: Callable[[], list[str]]) -> None:
        super().__init__()
        self._models = models
        self._conversation: Conversation | None = None
        self._views: dict[int, TurnView] = {}
        self._n_shown = _N_SHOWN
        self._phase = ""
        self._follows = True
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        inner = QWidget()
        inner.setObjectName("page")
        self._column = QVBoxLayout(inner)
        self._column.setSpacing(M)
        self._column.setContentsMargins(XL, M, XL, M)
        self._earlier = QPushButton()
        self._earlier.clicked.connect(self._show_earlier)
        self._column.addWidget(self._earlier, 0, Qt.AlignmentFlag.AlignHCenter)
        self._column.addStretch()
        self.setWidget(inner)
        bar = self.verticalScrollBar()
        bar.rangeChanged.connect(self._on_range)
        bar.valueChanged.connect(self._on_scroll)
        inner.installEventFilter(self)

    def show_conversation(self, conversation: Conversation) -> None:
        """Show another chat, at its end."""
        if self._conversation is not None:
            self._conversation.changed.disconnect(self._refresh)
            self._conversation.grew.disconnect(self._grow)
        self._conversation = conversation
        self._n_shown = _N_SHOWN
        self._remove(list(self._views))
        conversation.changed.connect(self._refresh)
        conversation.grew.connect(self._grow)
        self._follows = True
        self._refresh()

    def set_phase(self, phase: str) -> None:
        """Say what an answer that has not begun waits for."""
        self._phase = phase
        if self._conversation is not None and self._conversation.answering_id:
            self._grow(self._conversation.answering_id)

    def show_turn(self, turn_id: int) -> None:
        """Bring a turn into sight."""
        if self._conversation is None:
            return
        path = [turn.id for turn in self._conversation.tree.path()]
        if turn_id in path:
            self._n_shown = max(self._n_shown, len(path) - path.index(turn_id))
            self._refresh()
            self._follows = False
            QTimer.singleShot(0, self, lambda: self._scroll_to(turn_id))

    def edit_last(self) -> None:
        """Let the user change the last question."""
        mine = [view for view in self._views.values() if view.turn.role == "user"]
        if mine:
            mine[-1].edit()

    def last_answer(self) -> Turn | None:
        """Return the last answer in sight."""
        path = self._conversation.tree.path() if self._conversation else []
        return next((turn for turn in reversed(path) if turn.role == "assistant"), None)

    def retranslate(self) -> None:
        """The language changed."""
        for view in self._views.values():
            view.retranslate()
        self._refresh()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the lines short enough to read, and the column in the middle."""
        if event.type() is QEvent.Type.Resize and watched is self.widget():
            side = max(XL, (self.viewport().width() - WIDEST) // 2)
            if self._column.contentsMargins().left() != side:
                self._column.setContentsMargins(side, M, side, M)
        return super().eventFilter(watched, event)

    def _refresh(self) -> None:
        conversation = self._conversation
        if conversation is None:
            return
        path = conversation.tree.path()
        shown = path[-self._n_shown :]
        self._earlier.setVisible(len(path) > len(shown))
        self._earlier.setText(tr("Show earlier turns ({n})", n=len(path) - len(shown)))
        ids = {turn.id for turn in shown}
        self._remove([turn_id for turn_id in self._views if turn_id not in ids])
        for place, turn in enumerate(shown, 1):
            if turn.id not in self._views:
                self._views[turn.id] = view = self._view(turn)
                self._column.insertWidget(place, view)
            self._grow(turn.id)
        self._views = {turn.id: self._views[turn.id] for turn in shown}

    def _grow(self, turn_id: int) -> None:
        conversation, view = self._conversation, self._views.get(turn_id)
        if conversation is None or view is None:
            return
        is_open = conversation.answering_id == turn_id
        branch = conversation.tree.branch(turn_id)
        view.show_turn(conversation.tree[turn_id], is_open=is_open, branch=branch)
        request = conversation.request if is_open else None
        phase = waiting_text(request) if request is not None else ""
        view.show_waiting(conversation.waits_since if is_open else None, phase or self._phase)

    def _view(self, turn: Turn) -> TurnView:
        conversation = self._conversation
        assert conversation is not None
        view = TurnView(turn, self._models)
        turn_id = turn.id

        def when_free(act: Callable[[], object]) -> None:
            """A chat has one answer at a time."""
            if conversation.answering_id:
                self.busy_asked.emit()
            else:
                self._follows = True
                act()

        view.retried.connect(lambda name: when_free(lambda: conversation.retry(turn_id, name)))
        view.continued.connect(lambda: when_free(lambda: conversation.go_on(turn_id)))
        view.edited.connect(lambda text: when_free(lambda: conversation.edit(turn_id, text)))
        view.stepped.connect(lambda by: when_free(lambda: conversation.step(turn_id, by)))
        return view

    def _remove(self, turn_ids: list[int]) -> None:
        for turn_id in turn_ids:
            view = self._views.pop(turn_id)
            self._column.removeWidget(view)
            view.hide()
            view.deleteLater()

    def _show_earlier(self) -> None:
        self._n_shown += _N_SHOWN
        self._follows = False
        self._refresh()

    def _scroll_to(self, turn_id: int) -> None:
        if view := self._views.get(turn_id):
            self.verticalScrollBar().setValue(view.y())

    def _on_range(self, _low: int, high: int) -> None:
        if self._follows:
            self.verticalScrollBar().setValue(high)

    def _on_scroll(self, value: int) -> None:
        self._follows = value >= self.verticalScrollBar().maximum() - _NEAR
