"""The middle of a chat: its turns, or why there are none and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QStackedWidget

from gui.link import Link, Phase
from gui.widgets.notice import Notice
from gui.widgets.starters import Starters
from gui.widgets.transcript import Transcript
from gui.words import tr
from runner.errors import CorralError

if TYPE_CHECKING:
    from gui.widgets.first_model import FirstModel


class ChatMiddle(QStackedWidget):
    """Shows one thing at a time.

    Signals:
        ready: The model with this name, somebody's first one, is in the library.
        again: The library is to be asked for once more.
    """

    ready = Signal(str)
    again = Signal()

    def __init__(self, link: Link, transcript: Transcript) -> None:
        super().__init__()
        self._link = link
        self._transcript = transcript
        self.notice, self.starters = Notice(), Starters()
        self.first: FirstModel | None = None
        for widget in (self.notice, self.starters, transcript):
            self.addWidget(widget)

    @property
    def is_first(self) -> bool:
        """Whether somebody without a model is welcomed."""
        return self.first is not None and self.currentWidget() is self.first

    def show_turns(self) -> None:
        """Show what was said."""
        self.setCurrentWidget(self._transcript)

    def show_none(self, *, has_models: bool | None, untold: CorralError | None) -> None:
        """Say why nothing was said yet.

        Args:
            has_models: Whether there are any; ``None``: not known.
            untold: Why that cannot be told.
        """
        state = self._link.state
        if state.phase is Phase.DOWN and state.error is not None:
            way = (tr("Try again"), self._link.look)
            if self._link.is_paused:
                way = (tr("Resume the server"), self._link.resume)
            self.notice.show_error(tr("The daemon does not answer"), state.error, [way])
            self.setCurrentWidget(self.notice)
        elif state.phase is Phase.UP and has_models is None and untold is not None:
            again = (tr("Try again"), self.again.emit)
            self.notice.show_error(tr("The library cannot be read"), untold, [again])
            self.setCurrentWidget(self.notice)
        elif state.phase is not Phase.UP or has_models is None:
            self.notice.show_loading(tr("Connecting…"))
            self.setCurrentWidget(self.notice)
        elif has_models:
            self.setCurrentWidget(self.starters)
        else:
            self._show_first()

    def retranslate(self) -> None:
        """The language changed; the notice is shown anew by whoever knows why it is there."""
        self.starters.retranslate()
        if self.first is not None:
            self.first.retranslate()

    def _show_first(self) -> None:
        if self.first is None:
            from gui.widgets.first_model import FirstModel  # seen once, if ever

            self.first = FirstModel(self._link)
            self.first.ready.connect(self.ready)
            self.addWidget(self.first)
        self.setCurrentWidget(self.first)
