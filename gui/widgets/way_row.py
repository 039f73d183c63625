"""Buttons that help with an error: each does something about it, or leads to where one can."""

from __future__ import annotations

from PySide6.QtWidgets import QPushButton

from gui.ways import Acts, actions_for
from gui.widgets.flow import FlowRow


class WayRow(FlowRow):
    """Hidden while there is no error, or nothing that helps."""

    def __init__(self) -> None:
        super().__init__()
        self._code: object = None
        self._acts: Acts = {}
        self.buttons: list[QPushButton] = []
        self.hide()

    def show_code(self, code: object, acts: Acts) -> None:
        """Offer what helps with an error.

        Args:
            code: Its code; anything but a known one hides the row.
            acts: What can be done about it here, by ``Way.act``.
        """
        is_same = code == self._code and acts.keys() == self._acts.keys()
        self._code, self._acts = code, acts
        if not is_same:
            self.retranslate()

    def retranslate(self) -> None:
        """The language changed."""
        for button in self.buttons:
            self.flow.removeWidget(button)
            button.hide()
            button.deleteLater()
        self.buttons = []
        for place, (text, _) in enumerate(actions_for(self._code, self._acts)):
            button = QPushButton(text)
            button.clicked.connect(lambda _=False, place=place: self._press(place))
            self.buttons.append(button)
            self.flow.addWidget(button)
        self.setVisible(bool(self.buttons))

    def _press(self, place: int) -> None:
        actions_for(self._code, self._acts)[place][1]()
