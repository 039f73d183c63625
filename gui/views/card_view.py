"""What a model's owner wrote about it: asked for when somebody looks, drawn as plain Markdown."""

from __future__ import annotations

from collections import OrderedDict

from PySide6.QtWidgets import QVBoxLayout, QWidget

from gui.errands import Task
from gui.link import Link
from gui.markdown.html import without_html
from gui.theme import M
from gui.views.sheet import scrolled
from gui.widgets.content import Content
from gui.widgets.markdown_view import MarkdownView
from gui.words import tr
from runner.client.client import Client
from runner.domain.search import ModelCard
from runner.errors import CorralError

#: Cards that are remembered; who goes through a list comes back.
_N_KEPT = 16


class CardView(QWidget):
    """One card; ``show_model`` says whose, and nothing is asked before the view is in sight."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self._name = self._shown = ""
        self._kept: OrderedDict[str, ModelCard] = OrderedDict()
        self._asked: Task | None = None
        self.text = MarkdownView()
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, M, M, M)
        column.addWidget(self.text)
        column.addStretch()
        self._area = scrolled(inner)
        self.content = Content(self._area)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.content)
        self.retranslate()

    def show_model(self, name: str) -> None:
        """Say whose card this is: a repository's full name."""
        self._name = name
        if self.isVisible():
            self._ask()

    def showEvent(self, event: object) -> None:
        """Somebody looks."""
        super().showEvent(event)  # type: ignore[arg-type]
        self._ask()

    def retranslate(self) -> None:
        """The language changed; what stands in place of a card is written with the next one."""
        self.text.setAccessibleName(tr("Model card"))

    def _ask(self) -> None:
        name = self._name
        if not name or name == self._shown:
            return
        if self._asked is not None:
            self._asked.cancel()
        self._shown = name
        if name in self._kept:
            self._kept.move_to_end(name)
            self._show(self._kept[name])
            return

        def read(client: Client) -> ModelCard:
            card = client.card(name)
            return ModelCard(card.name, without_html(card.text), card.is_cut)

        def took(card: ModelCard) -> None:
            self._kept[name] = card
            while len(self._kept) > _N_KEPT:
                self._kept.popitem(last=False)
            self._show(card)

        self.content.show_loading(tr("Reading the card…"))
        self._asked = self._link.call(read, took, self._failed)

    def _show(self, card: ModelCard) -> None:
        if not card.text.strip():
            self.content.show_empty(tr("There is no card"), tr("Its owner wrote nothing about it."))
            return
        more = f"\n\n*{tr('There is more of it on its page.')}*" if card.is_cut else ""
        self.text.set_text(card.text + more, is_whole=True)
        self._area.verticalScrollBar().setValue(0)
        self.content.show_body()

    def _failed(self, error: CorralError) -> None:
        def again() -> None:
            self._shown = ""
            self._ask()

        self._shown = ""
        self.content.show_error(tr("The card cannot be read"), error, [(tr("Try again"), again)])
