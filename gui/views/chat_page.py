"""The chat: the list of chats at the side, the one that is open, and its parameters.

It builds widgets and connects signals; what a chat is and does is ``chats/``'s.
"""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, QTimer, Slot
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from gui.chats.conversation import Conversation
from gui.chats.files import TextFile
from gui.chats.pictures import Picture
from gui.chats.presets import Preset
from gui.chats.shelf import UNDO_MS, Shelf
from gui.chats.storage import Chat, Hit
from gui.link import Phase, State
from gui.markdown.writer import warm_up
from gui.mender import Mender
from gui.models.figures import context_of
from gui.models.load_stage import stage_text
from gui.pages import House, Page
from gui.theme import XL, S
from gui.views import chat_asking
from gui.views.attaching import Attaching
from gui.views.chat_mending import acts_for
from gui.ways import Acts, actions_for
from gui.widgets.chat_bar import ChatBar
from gui.widgets.chat_middle import ChatMiddle
from gui.widgets.chat_side import ChatSide
from gui.widgets.composer import Composer, is_welcome
from gui.widgets.find_bar import FindBar
from gui.widgets.parameters import Parameters
from gui.widgets.toast import Toast
from gui.widgets.transcript import WIDEST, Transcript
from gui.widgets.warm import Warming
from gui.words import sentence, tr
from runner.client.decode_keeping import Change
from runner.domain.model import Capability, ModelInfo
from runner.domain.topic import Topic
from runner.errors import CorralError

#: Pixels of width below which the list of chats gives way.
_NARROW = 620
#: Milliseconds after the start when what the first answer needs is loaded.
_WARM_MS = 400


class ChatPage(Page):
    """One chat at a time; others go on in the background."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        assert house.archive is not None
        self._models: list[str] = []
        self._seeing: set[str] = set()
        self._has_library = False
        self._untold: CorralError | None = None
        self._conversation: Conversation | None = None
        self._turn_wanted = 0
        self._wants_side = True
        self.shelf = Shelf(house.link, house.archive, self)
        self.side = ChatSide()
        self.bar = ChatBar()
        self._mender = Mender(house.link, self)
        self.transcript = Transcript(lambda: self._models, self._acts)
        self.finder = FindBar(self.transcript)
        self.composer = Composer()
        self.attaching = Attaching(self.composer, house.link)
        self.parameters = Parameters()
        self.parameters.hide()
        self._toast = Toast(self)
        self.middle = ChatMiddle(house.link, self.transcript)
        self._lay_out()
        self.setAcceptDrops(True)
        self._connect()
        self._shortcuts()
        self.begin(is_temporary=False)
        self._show_state(house.link.state)
        # Once the window is there: two threads at work would keep its first picture back.
        self._warming = Warming(self)
        QTimer.singleShot(_WARM_MS, self, self._warm_up)

    def _warm_up(self) -> None:
        """Load and make what the first answer needs."""
        self.house.link.call(lambda _: warm_up())
        self._warming.start()

    # What Page asks for

    def entered(self) -> None:
        """Ask which models there are."""
        self._ask_models()
        self.composer.field.setFocus()

    def show_part(self, part: str) -> None:
        """``parameters``, or the choice of ``models``."""
        if part == "parameters":
            self.bar.parameters.setChecked(True)
            self.parameters.setFocus()
        elif part == "models":
            self.bar.models.showPopup()

    def retranslate(self) -> None:
        """The language changed."""
        parts = (self.side, self.bar, self.transcript, self.composer, self.parameters)
        for part in (*parts, self.middle, self.finder):
            part.retranslate()
        self._show_middle()

    def leaving(self) -> None:
        """The app is about to end."""
        self.parameters.flush()
        self.shelf.close()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files and pictures are welcome anywhere on a chat."""
        if is_welcome(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Take what is dropped."""
        self.composer.take(event.mimeData())
        event.acceptProposedAction()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A narrow page has no room for the list of chats."""
        super().resizeEvent(event)
        self._make_room()

    # What a person does

    def begin(self, *, is_temporary: bool) -> None:
        """Open an empty chat."""
        self.shelf.new(self._default_model(), is_temporary=is_temporary)
        self.composer.field.setFocus()

    def _ask(self, what: str, chat_id: int) -> None:
        chat = next((chat for chat in self.shelf.chats() if chat.id == chat_id), None)
        if what == "delete":
            self.shelf.delete(chat_id)
            if self._conversation is not None and self._conversation.chat.id == chat_id:
                self.begin(is_temporary=False)
        elif what == "pin" and chat is not None:
            self.shelf.change(chat_id, is_pinned=not chat.is_pinned)
        elif what == "rename" and chat is not None:
            chat_asking.title(self, chat, self.shelf)

    def _ask_here(self, what: str) -> None:
        """What the open chat's own menu asks for."""
        conversation = self._conversation
        if conversation is None:
            return
        if what.startswith("export"):
            chat_asking.where(self, conversation, what.removeprefix("export-"), self.shelf)
        else:
            self._ask(what, conversation.chat.id)

    def _send(self, text: str, images: tuple[bytes, ...] = ()) -> None:
        conversation = self._conversation
        if conversation is not None:
            self.parameters.flush()
            conversation.send(text, images)

    def _keep_preset(self, name: str) -> None:
        if self._conversation is not None:
            self.parameters.flush()
            chat = self._conversation.chat
            self.shelf.keep_preset(Preset(name, chat.system, chat.options))

    def _escape(self) -> None:
        """Put the search away, or else stop the answer."""
        if self.finder.isVisible():
            self.finder.end()
            self.composer.field.setFocus()
        else:
            self._stop()

    def _stop(self) -> None:
        if self._conversation is not None:
            self._conversation.stop()

    def _choose_model(self, name: str) -> None:
        self.house.settings.change(model=name)
        if self._conversation is not None:
            self._conversation.set_fields(model=name)

    def _open(self, chat_id: int, turn_id: int) -> None:
        self._turn_wanted = turn_id
        self.shelf.open(chat_id)

    def _step_chat(self, by: int) -> None:
        if chat_id := self.side.neighbour(by):
            self._open(chat_id, 0)

    # What happens

    @Slot(object)
    def _show(self, conversation: Conversation) -> None:
        old = self._conversation
        if old is conversation:
            return
        if old is not None:
            self.parameters.flush()
            old.changed.disconnect(self._refresh)
        self._conversation = conversation
        self._mender.wait_no_more()
        conversation.changed.connect(self._refresh)
        self.transcript.show_conversation(conversation)
        self.finder.end()
        self.composer.set_text(conversation.chat.draft)
        self.attaching.show_chat(conversation.chat.id, conversation.unsent.files)
        self.parameters.fill(conversation.chat.system, conversation.chat.options)
        self.side.mark(conversation.chat.id)
        self._refresh()
        self.composer.field.setFocus()
        if self._turn_wanted:
            self.transcript.show_turn(self._turn_wanted)
            self._turn_wanted = 0

    @Slot()
    def _refresh(self) -> None:
        conversation = self._conversation
        if conversation is None:
            return
        self.bar.show_chat(conversation.chat, is_temporary=conversation.is_temporary)
        self.composer.set_busy(bool(conversation.answering_id))
        model = conversation.chat.model
        self.attaching.set_model(model, sees=model in self._seeing)
        self.side.mark(conversation.chat.id)
        self._show_middle()
        self._show_context()

    @Slot(object)
    def _on_told(self, change: Change) -> None:
        """A name came or went, here or by another program."""
        if change.kind == Topic.MODEL and self.isVisible():
            self._ask_models()
        elif change.kind == Topic.LOAD:
            self._show_phase(self.house.link.state)

    def _ask_models(self) -> None:
        ask = self.house.link.call
        ask(lambda client: client.list_models(), self._take_models, self._not_told)

    def _not_told(self, error: CorralError) -> None:
        """The daemon answers, and cannot say which models there are."""
        self._untold = error
        self._show_middle()

    def _take_models(self, models: list[ModelInfo]) -> None:
        talk = [m for m in models if Capability.COMPLETION in m.capabilities or not m.capabilities]
        self._models = sorted(str(model.name) for model in talk)
        self._seeing = {str(m.name) for m in models if Capability.VISION in m.capabilities}
        self._has_library, self._untold = True, None
        conversation = self._conversation
        if conversation is not None and not conversation.chat.model and self._models:
            conversation.set_fields(model=self._default_model())
        self._show_state(self.house.link.state)
        self._refresh()

    def _got_first(self, name: str) -> None:
        self.house.settings.change(has_begun=True, model="")
        self.house.link.look()
        self.entered()

    @Slot(object)
    def _show_state(self, state: State) -> None:
        if state.phase is Phase.UP and not self._has_library:
            self._ask_models()
        loaded = frozenset(str(model.info.name) for model in state.running)
        self.bar.show_models(self._models, loaded)
        self._show_phase(state)
        self.composer.set_can_send(state.phase is Phase.UP and bool(self._models))
        self._show_middle()
        self._show_context()

    def _show_phase(self, state: State) -> None:
        """Say what an answer that has not begun waits for."""
        model = self._conversation.chat.model if self._conversation is not None else ""
        is_loaded = any(str(one.info.name) == model for one in state.running)
        load = self.house.link.loads.get(model)
        phase = tr("Reading the question…") if is_loaded and not load else stage_text(load)
        self.transcript.set_phase(phase)

    def _show_middle(self) -> None:
        """Turns, or why there are none."""
        if self._conversation is not None and len(self._conversation.tree):
            self.middle.show_turns()
        else:
            has_models = bool(self._models) if self._has_library else None
            self.middle.show_none(has_models=has_models, untold=self._untold)
        for part in (self.composer, self.bar):
            part.setVisible(not self.middle.is_first)

    def _show_context(self) -> None:
        answer = self.transcript.last_answer()
        figures = dict(answer.figures) if answer is not None else {}
        model = self._conversation.chat.model if self._conversation is not None else ""
        n_ctx = self._n_ctx(model)
        sizes = self._conversation.sizes() if self._conversation is not None else (0, 0, 0)
        self.bar.show_context(context_of(figures, n_ctx, sizes))

    def _n_ctx(self, model: str) -> int:
        """Tokens of the context that a model has in memory; 0: it is not there."""
        running = self.house.link.state.running
        return next((m.n_ctx for m in running if str(m.info.name) == model), 0)

    def _acts(self, conversation: Conversation, turn_id: int) -> Acts:
        """What can be done about an answer of the chat in sight that failed."""

        def set_context(n_tokens: int) -> None:
            self.parameters.flush()
            conversation.set_fields(options={**conversation.chat.options, "num_ctx": n_tokens})
            self.parameters.fill(conversation.chat.system, conversation.chat.options)

        return acts_for(
            conversation,
            turn_id,
            mender=self._mender,
            n_ctx=self._n_ctx(conversation.tree[turn_id].model),
            is_in_sight=lambda: self._conversation is conversation,
            set_context=set_context,
            show_parameters=lambda: self.show_part("parameters"),
        )

    def _show_found(self, text: str, hits: list[Hit]) -> None:
        if text == self.side.search.text().strip():
            self.side.show_hits(hits)

    def _on_search(self, text: str) -> None:
        if text:
            self.shelf.search(text)
        else:
            self.side.show_hits(None)

    def _on_deleted(self, chat: Chat) -> None:
        told = tr("Deleted: {title}", title=chat.title or tr("New chat"))
        self._toast.tell(told, (tr("Undo"), self.shelf.undo), for_ms=UNDO_MS)

    @Slot(object)
    def _tell(self, error: CorralError) -> None:
        self._toast.tell(sentence(error), next(iter(actions_for(error.code)), None))

    def _keep_parameters(self, system: str, options: dict[str, Any]) -> None:
        if self._conversation is not None:
            self._conversation.set_fields(system=system, options=options)

    def _keep_draft(self, text: str) -> None:
        if self._conversation is not None:
            self._conversation.set_draft(text)

    def _keep_files(self, files: list[TextFile | Picture]) -> None:
        if self._conversation is not None:
            self._conversation.set_files(files)

    def _default_model(self) -> str:
        """The one that was chosen last, or answers here, or is the first there is."""
        here = self._conversation.chat.model if self._conversation is not None else ""
        wanted = (self.house.settings.choices.model, here, *self._models)
        return next((name for name in wanted if name in self._models), "")

    def _show_parameters(self, is_shown: bool) -> None:
        self.parameters.setVisible(is_shown)
        self._make_room()

    def _toggle_side(self) -> None:
        self._wants_side = not self.side.isVisible()
        self.side.setVisible(self._wants_side)

    def _make_room(self) -> None:
        taken = _NARROW + self.parameters.minimumWidth() * self.bar.parameters.isChecked()
        self.side.setVisible(self._wants_side and self.width() >= taken)

    # Building

    def _lay_out(self) -> None:
        chat = QWidget()
        chat.setObjectName("page")
        foot = QHBoxLayout()
        foot.setContentsMargins(XL, 0, XL, S)
        foot.addStretch(1)
        self.composer.setMaximumWidth(WIDEST)
        foot.addWidget(self.composer, 10_000)  # all there is, up to its width
        foot.addStretch(1)
        column = QVBoxLayout(chat)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(S)
        column.addWidget(self.bar)
        column.addWidget(self.finder)
        column.addWidget(self.middle, 1)
        column.addLayout(foot)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.side)
        row.addWidget(chat, 1)
        row.addWidget(self.parameters)

    def _connect(self) -> None:
        self.shelf.listed.connect(self.side.show_chats)
        self.shelf.opened.connect(self._show)
        self.shelf.found.connect(self._show_found)
        self.shelf.deleted.connect(self._on_deleted)
        self.shelf.failed.connect(self._tell)
        self.side.begun.connect(lambda is_temporary: self.begin(is_temporary=is_temporary))
        self.side.chosen.connect(self._open)
        self.side.searched.connect(self._on_search)
        self.side.asked.connect(self._ask)
        self.side.imported.connect(lambda: chat_asking.what_to_import(self, self.shelf))
        self.bar.model_chosen.connect(self._choose_model)
        self.bar.asked.connect(self._ask_here)
        self.bar.parameters_shown.connect(self._show_parameters)
        self.shelf.kept.connect(self.parameters.presets.show_own)
        self.parameters.presets.kept.connect(self._keep_preset)
        self.parameters.presets.forgotten.connect(self.shelf.forget_preset)
        self.middle.starters.chosen.connect(lambda text: self._send(text))
        self.middle.ready.connect(self._got_first)
        self.middle.again.connect(self._ask_models)
        self.composer.sent.connect(self._send)
        self.composer.stopped.connect(self._stop)
        self.attaching.told.connect(self._toast.tell)
        self._mender.told.connect(self._toast.tell_or_hide)
        self.attaching.came_late.connect(self.shelf.add_file)
        self.composer.typed.connect(self._keep_draft)
        self.composer.files_set.connect(self._keep_files)
        self.composer.field.back_asked.connect(self.transcript.edit_last)
        self.parameters.changed.connect(self._keep_parameters)
        self.transcript.edited.connect(self.composer.field.setFocus)
        self.transcript.busy_asked.connect(
            lambda: self._toast.tell(tr("An answer is coming. Stop it first."))
        )
        self.house.link.changed.connect(self._show_state)
        self.house.link.told.connect(self._on_told)

    def _shortcuts(self) -> None:
        within = Qt.ShortcutContext.WidgetWithChildrenShortcut
        for keys, act in (
            ("Ctrl+N", lambda: self.begin(is_temporary=False)),
            ("Ctrl+K", self.side.search.setFocus),
            ("Ctrl+L", self.bar.models.showPopup),
            ("Ctrl+B", self._toggle_side),
            ("Ctrl+P", self.bar.parameters.toggle),
            ("Ctrl+F", self.finder.begin),
            ("Esc", self._escape),
            ("Ctrl+Shift+Up", lambda: self._step_chat(-1)),
            ("Ctrl+Shift+Down", lambda: self._step_chat(1)),
            ("Ctrl+Shift+E", lambda: self._ask_here("rename")),
            ("Ctrl+Shift+D", lambda: self._ask_here("delete")),
        ):
            QShortcut(QKeySequence(keys), self, act, context=within)
        QTimer.singleShot(0, self, self.composer.field.setFocus)
