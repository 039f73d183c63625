"""The turns of a chat, one under the other; it follows an answer that grows.

Each turn has a place of its own; only those near sight hold a view.  While places above the first
line in sight change their height, that line stays where it is.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from gui.chats.conversation import Conversation
from gui.chats.tree import Turn
from gui.models.figures import waiting_text
from gui.theme import XL, M
from gui.ways import Acts
from gui.widgets.turn_slot import TurnSlot
from gui.widgets.turn_view import TurnView
from gui.words import tr

#: Most turns at the end that are there at once, when a chat is opened or goes on.
_N_AT_ONCE = 8
#: Heights of the window beyond its edges within which turns hold views, and beyond which not.
_NEAR_PAGES, _FAR_PAGES = 1, 3
#: Seconds of making views in one turn of the event loop.
_TURN_S = 0.006
#: Pixels: longer lines are hard to read.
WIDEST = 800
#: Pixels from the end that count as being there.
_NEAR = 40


class Transcript(QScrollArea):
    """Shows one conversation.

    Signals:
        busy_asked: Something was asked that must wait until the answer has ended.
        edited: A turn was said anew: the keyboard is free for the next one.
    """

    busy_asked = Signal()
    edited = Signal()

    def __init__(
        self,
        models: Callable[[], list[str]],
        acts: Callable[[Conversation, int], Acts] = lambda *_: {},
    ) -> None:
        """Show nothing yet.

        Args:
            models: Tells who could answer.
            acts: Tells what can be done about an answer that failed, by its id.
        """
        super().__init__()
        self._models = models
        self._acts = acts
        self._conversation: Conversation | None = None
        self._slots: dict[int, TurnSlot] = {}  # of the turns in sight, in their order
        self._phase = ""
        self._marked = ""
        self._wanted: tuple[int, int] | None = None  # a place that is not drawn yet
        self._follows = True
        #: The turn at the upper edge, and the pixels from that edge down to the turn's own.
        self._anchor: tuple[int, int] | None = None
        self._is_placing = False
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setObjectName("transcript")
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # the arrows scroll
        inner = QWidget()
        inner.setObjectName("page")
        self._column = QVBoxLayout(inner)
        self._column.setSpacing(M)
        self._column.setContentsMargins(XL, M, XL, M)
        self._column.addStretch()
        self.setWidget(inner)
        self._look = QTimer(self)
        self._look.setSingleShot(True)
        self._look.setInterval(0)
        self._look.timeout.connect(self._hold_what_is_near)
        bar = self.verticalScrollBar()
        bar.rangeChanged.connect(self._on_range)
        bar.valueChanged.connect(self._on_scroll)
        inner.installEventFilter(self)
        self.retranslate()

    @property
    def views(self) -> dict[int, TurnView]:
        """The views that there are, by the ids of their turns and in their order."""
        return {key: slot.view for key, slot in self._slots.items() if slot.view is not None}

    @property
    def is_settled(self) -> bool:
        """Whether everything near sight is there and drawn."""
        return not self._look.isActive() and all(v.body.is_drawn for v in self.views.values())

    def show_conversation(self, conversation: Conversation) -> None:
        """Show another chat, at its end."""
        if self._conversation is not None:
            self._conversation.changed.disconnect(self._refresh)
            self._conversation.grew.disconnect(self._grow)
        self._conversation = conversation
        self._remove(list(self._slots))
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
        if turn_id in self._slots:
            self._fill(turn_id)
            self._follows = False
            self._anchor = turn_id, 0
            QTimer.singleShot(0, self, self._keep_place)

    def turns(self) -> list[Turn]:
        """Return the turns in sight, the first one first."""
        return self._conversation.tree.path() if self._conversation else []

    def mark(self, words: str) -> None:
        """Show where words stand; none: nowhere."""
        self._marked = words
        self._wanted = None
        for view in self.views.values():
            view.body.mark(words)

    def show_place(self, turn_id: int, number: int) -> None:
        """Bring one of the marked places of a turn into sight, once the turn is drawn."""
        if turn_id not in self._slots:
            return
        view = self._fill(turn_id)
        self._wanted = turn_id, number
        if view.body.is_drawn:
            self._show_wanted()
        else:
            self.show_turn(turn_id)

    def edit_last(self) -> None:
        """Let the user change the last question."""
        path = self.turns()
        mine = next((turn for turn in reversed(path) if turn.role == "user"), None)
        if mine is not None:
            self.show_turn(mine.id)  # its answer may be long
            self._fill(mine.id).edit()

    def last_answer(self) -> Turn | None:
        """Return the last answer in sight."""
        path = self.turns()
        return next((turn for turn in reversed(path) if turn.role == "assistant"), None)

    def retranslate(self) -> None:
        """The language changed."""
        self.setAccessibleName(tr("Conversation"))
        for view in self.views.values():
            view.retranslate()
        self._refresh()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the lines short enough to read, and the column in the middle."""
        if event.type() is QEvent.Type.Resize and watched is self.widget():
            side = max(XL, (self.viewport().width() - WIDEST) // 2)
            if self._column.contentsMargins().left() != side:
                self._column.setContentsMargins(side, M, side, M)
            self._look.start()
        return super().eventFilter(watched, event)

    def _refresh(self) -> None:
        conversation = self._conversation
        if conversation is None:
            return
        path = conversation.tree.path()
        ids = {turn.id for turn in path}
        self._remove([turn_id for turn_id in self._slots if turn_id not in ids])
        for place, turn in enumerate(path):
            if turn.id not in self._slots:
                self._slots[turn.id] = slot = TurnSlot(turn)
                self._column.insertWidget(place, slot)
        self._slots = {turn.id: self._slots[turn.id] for turn in path}
        if self._follows:
            self._fill_end([turn.id for turn in path[-_N_AT_ONCE:]])
        for turn_id in self.views:
            self._grow(turn_id)
        self._look.start()

    def _fill_end(self, turn_ids: list[int]) -> None:
        """Make the views at the end, as many as there is time for; the others come soon."""
        until = time.perf_counter() + _TURN_S
        for turn_id in reversed(turn_ids):
            self._fill(turn_id)
            if time.perf_counter() > until:
                return

    def _grow(self, turn_id: int) -> None:
        conversation, slot = self._conversation, self._slots.get(turn_id)
        if conversation is not None and slot is not None and slot.view is not None:
            self._show(conversation, slot.view)

    def _show(self, conversation: Conversation, view: TurnView) -> None:
        """Show a turn as it is now."""
        turn_id = view.turn.id
        is_open = conversation.answering_id == turn_id
        branch = conversation.tree.branch(turn_id)
        view.show_turn(conversation.tree[turn_id], is_open=is_open, branch=branch)
        request = conversation.request if is_open else None
        phase = waiting_text(request) if request is not None else ""
        view.show_waiting(conversation.waits_since if is_open else None, phase or self._phase)

    def _view(self, conversation: Conversation, turn: Turn) -> TurnView:
        turn_id = turn.id
        view = TurnView(turn, self._models, lambda: self._acts(conversation, turn_id))

        def when_free(act: Callable[[], object]) -> None:
            """A chat has one answer at a time."""
            if conversation.answering_id:
                self.busy_asked.emit()
            else:
                self._follows = True
                act()

        def say_anew(text: str) -> None:
            view.end_edit()
            conversation.edit(turn_id, text)
            self.edited.emit()

        view.retried.connect(lambda name: when_free(lambda: conversation.retry(turn_id, name)))
        view.continued.connect(lambda: when_free(lambda: conversation.go_on(turn_id)))
        view.edited.connect(lambda text: when_free(lambda: say_anew(text)))
        view.typed.connect(lambda text: conversation.set_edit(turn_id, text))
        view.stepped.connect(lambda by: when_free(lambda: conversation.step(turn_id, by)))
        view.body.mark(self._marked)
        view.body.drawn.connect(self._show_wanted)
        if (typed := conversation.unsent.edits.get(turn_id)) is not None:
            view.go_on_editing(typed)
        return view

    def _remove(self, turn_ids: list[int]) -> None:
        for turn_id in turn_ids:
            slot = self._slots.pop(turn_id)
            self._column.removeWidget(slot)
            slot.hide()
            slot.deleteLater()

    # What holds a view

    def _fill(self, turn_id: int) -> TurnView:
        """Return a turn's view, made if need be."""
        slot, conversation = self._slots[turn_id], self._conversation
        if slot.view is not None:
            return slot.view
        assert conversation is not None
        view = self._view(conversation, conversation.tree[turn_id])
        self._show(conversation, view)
        slot.fill(view, self._stop_before(turn_id))
        return view

    def _stop_before(self, turn_id: int) -> QWidget:
        """What the Tab key leads from into a turn."""
        found: QWidget = self
        for key, slot in self._slots.items():
            if key == turn_id:
                break
            found = slot.last_stop or found
        return found

    def _hold_what_is_near(self) -> None:
        """Make the views near sight, the nearest first; let those far away go."""
        page = max(1, self.viewport().height())
        middle = self.verticalScrollBar().value() + page // 2
        until = time.perf_counter() + _TURN_S
        for turn_id, slot in list(self._slots.items()):
            if slot.view is not None and _distance(slot, middle) > page * (_FAR_PAGES + 0.5):
                self._let_go(turn_id, slot)
        empty = [
            (distance, turn_id)
            for turn_id, slot in self._slots.items()
            if slot.view is None
            and (distance := _distance(slot, middle)) <= page * (_NEAR_PAGES + 0.5)
        ]
        for _, turn_id in sorted(empty):
            self._fill(turn_id)
            if time.perf_counter() > until:
                self._look.start()
                return

    def _let_go(self, turn_id: int, slot: TurnSlot) -> None:
        is_open = self._conversation is not None and self._conversation.answering_id == turn_id
        if not is_open and slot.view is not None and not slot.view.is_in_use:
            slot.clear()

    # Where one is

    @Slot()
    def _keep_place(self) -> None:
        """Put the turn at the upper edge back to where it was."""
        if self._anchor is not None and (slot := self._slots.get(self._anchor[0])) is not None:
            self._is_placing = True  # nobody scrolls: where one wants to be stays the same
            self.verticalScrollBar().setValue(slot.y() - self._anchor[1])
            self._is_placing = False

    @Slot()
    def _show_wanted(self) -> None:
        """Bring the place that was asked for to the upper third, if it is drawn."""
        if self._wanted is None or (slot := self._slots.get(self._wanted[0])) is None:
            return
        view = slot.view
        if view is None or not view.body.is_drawn:
            return
        (turn_id, number), self._wanted = self._wanted, None
        below = view.body.mapTo(slot, QPoint(0, view.body.place_of(number))).y()
        self._follows = False
        self._anchor = turn_id, self.viewport().height() // 3 - below
        QTimer.singleShot(0, self, self._keep_place)

    def _on_range(self, _low: int, high: int) -> None:
        if self._follows:
            self.verticalScrollBar().setValue(high)
        else:
            self._keep_place()

    def _on_scroll(self, value: int) -> None:
        self._look.start()
        if self._is_placing:
            return
        self._follows = value >= self.verticalScrollBar().maximum() - _NEAR
        slots = list(self._slots.items())
        place = bisect.bisect_right(slots, value, key=lambda item: item[1].y()) - 1
        if slots:
            turn_id, slot = slots[max(0, place)]
            self._anchor = turn_id, slot.y() - value


def _distance(slot: QWidget, line: int) -> int:
    """Pixels between a place and a line across the transcript; 0: the line crosses it."""
    return max(0, slot.y() - line, line - slot.y() - slot.height())
