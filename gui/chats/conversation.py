"""One open chat: what was said, the answer that is coming, and keeping both.

Widgets call its methods and show what its signals tell; the daemon is asked through the link, the
file is written through the archive, and no call waits.  It goes on answering while nobody looks.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from gui.activity import ACTIVITY
from gui.chats.archive import Archive
from gui.chats.files import TextFile
from gui.chats.pictures import Picture
from gui.chats.presets import OURS, matching
from gui.chats.storage import Chat, Storage
from gui.chats.tree import Tree, Turn
from gui.chats.unsent import Unsent
from gui.errands import Task
from gui.link import Link
from gui.words import tr
from runner.client.client import Client
from runner.client.connection import Stream
from runner.client.decode_keeping import Change
from runner.client.keeping import requests_of
from runner.domain.chat import Image, Message
from runner.domain.event import Event, Finished, TextDelta, ThinkingDelta
from runner.domain.options import parse_options
from runner.domain.request import Priority
from runner.domain.running import RunningRequest
from runner.errors import CorralError

#: Milliseconds between two writings of an answer that is coming: what a crash may lose.
_KEEP_MS = 800
#: Milliseconds after which what is typed is written: what a crash may lose.
_DRAFT_MS = 400
_TITLE_CHARS = 60
#: Seconds that a request's arrival may differ from when it was asked.
_NEAR_S = 5.0
#: Seconds after which somebody may have looked away from an answer.
_LONG_S = 10
_GO_ON = "Continue your last answer exactly where it stopped. Do not repeat what you have said."


class Conversation(QObject):
    """A chat in memory; made and used on the GUI's thread.

    Signals:
        changed: Other turns are in sight, or the chat's own fields are others.
        grew: The turn with this id has more text, or ended.
        listed: What the list of chats shows of it is different.
    """

    changed = Signal()
    grew = Signal(int)
    listed = Signal()

    def __init__(
        self,
        chat: Chat,
        turns: list[Turn],
        *,
        link: Link,
        archive: Archive | None,
        unsent: Unsent | None = None,
        is_kept: bool = False,
    ) -> None:
        """Open a chat.

        Args:
            chat: Its fields; the id is set.
            turns: All its turns.
            link: Who answers.
            archive: Where it is kept; ``None``: nowhere, a temporary chat.
            unsent: What was typed into it or added to it, and not sent.
            is_kept: Whether the archive has it already.
        """
        super().__init__()
        self.chat = chat
        self.tree = Tree(turns, chat.leaf_id)
        self._link = link
        self._archive = archive
        self._is_kept = is_kept
        self.unsent = unsent or Unsent()
        self._new_edits: set[int] = set()  # not on disk yet
        self._has_new_files = False
        self._answer: _Answer | None = None
        self._draft_timer = QTimer(self)
        self._draft_timer.setSingleShot(True)
        self._draft_timer.setInterval(_DRAFT_MS)
        self._draft_timer.timeout.connect(self._keep_chat)
        self._keep_timer = QTimer(self)
        self._keep_timer.setInterval(_KEEP_MS)
        self._keep_timer.timeout.connect(self._keep_answer)
        link.told.connect(self._heard)

    @property
    def is_temporary(self) -> bool:
        """Whether it is forgotten when it is closed."""
        return self._archive is None

    @property
    def is_worth_keeping(self) -> bool:
        """Whether anything was said, typed or added: else no list has a line for it."""
        has_words = len(self.tree) or self.chat.draft or self.unsent.files
        return bool(has_words or not matching(OURS, self.chat.system, self.chat.options))

    @property
    def answering_id(self) -> int:
        """The turn that is being written; 0: none."""
        return self._answer.turn_id if self._answer else 0

    @property
    def request(self) -> RunningRequest | None:
        """What the daemon tells of the question whose answer has not begun."""
        answer = self._answer
        return answer.request if answer and answer.first is None else None

    def sizes(self) -> tuple[int, int, int]:
        """Return characters of the system prompt, of earlier turns, and of the last question."""
        path = self.tree.path()
        last = max((i for i, turn in enumerate(path) if turn.role == "user"), default=0)
        earlier = sum(len(turn.text) for turn in path[:last])
        return len(self.chat.system), earlier, len(path[last].text) if path else 0

    @property
    def waits_since(self) -> float | None:
        """``time.monotonic()`` of the question whose answer has not begun."""
        answer = self._answer
        return answer.asked if answer and answer.first is None else None

    # What a person does

    def send(self, text: str, images: tuple[bytes, ...] = ()) -> None:
        """Say something, with pictures perhaps, and have it answered."""
        assert self._answer is None
        turn = self._add("user", text, self.tree.leaf_id, images=images)
        if not self.chat.title:
            self._change(title=title_of(text))
        self._change(draft="", changed_s=turn.created_s)
        self._ask(turn.id)

    def retry(self, turn_id: int, model: str = "", *, truncates: bool = False) -> None:
        """Have an answer given anew: in a branch of its own, unless nothing came of it.

        Args:
            turn_id: The answer, or the question that it answers.
            model: Who answers; empty: who did.
            truncates: Whether the oldest turns may be left out where all do not fit.
        """
        assert self._answer is None
        if model:
            self._change(model=model)
        turn = self.tree[turn_id]
        if turn.role == "user":
            self._ask(turn_id, truncates=truncates)
        elif turn.text or turn.thinking:
            self._ask(turn.parent_id, truncates=truncates)
        else:  # there is nothing in it to keep beside the new one
            self._put(replace(turn, model=self.chat.model, figures={}, is_whole=False))
            messages = self._messages(self.tree.path_to(turn.parent_id))
            self._begin(turn_id, messages, truncates=truncates)

    def edit(self, turn_id: int, text: str) -> None:
        """Say something else instead, in a branch of its own; a question is answered anew."""
        assert self._answer is None
        old = self.tree[turn_id]
        turn = self._add(old.role, text, old.parent_id, model=old.model, images=old.images)
        if old.role == "user":
            self._ask(turn.id)
        else:
            self._keep_chat()
            self.changed.emit()

    def go_on(self, turn_id: int) -> None:
        """Have an answer that was cut short continued."""
        assert self._answer is None
        turn = self.tree[turn_id]
        figures = {name: value for name, value in turn.figures.items() if name != "error"}
        self._put(replace(turn, figures=figures, is_whole=False))
        messages = [*self._messages(self.tree.path_to(turn_id)), Message("user", _GO_ON)]
        self._begin(turn_id, messages)

    def stop(self) -> None:
        """End the answer that is coming; what has arrived stays."""
        answer = self._answer
        if answer is not None:
            answer.task.cancel()
            self._end({"reason": "stopped"}, is_whole=False)

    def step(self, turn_id: int, by: int) -> None:
        """Show another version of a turn."""
        if self.tree.step(turn_id, by):
            self._keep_chat()
            self.changed.emit()

    def set_draft(self, text: str) -> None:
        """Remember what is typed and not sent."""
        if text != self.chat.draft:
            self.chat = replace(self.chat, draft=text)
            self._keep_soon()

    def set_edit(self, turn_id: int, text: str | None) -> None:
        """Remember what is typed in place of a turn and not sent; ``None``: nothing is."""
        edits = dict(self.unsent.edits)
        if text == edits.get(turn_id):
            return
        if text is None:
            del edits[turn_id]
        else:
            edits[turn_id] = text
        self.unsent = replace(self.unsent, edits=edits)
        self._new_edits.add(turn_id)
        self._keep_soon()

    def set_files(self, files: Sequence[TextFile | Picture]) -> None:
        """Remember what goes with the next question."""
        if tuple(files) != self.unsent.files:
            self.unsent = replace(self.unsent, files=tuple(files))
            self._has_new_files = True
            self._keep_soon()

    def set_fields(self, **values: Any) -> None:
        """Change the chat's own fields: ``title``, ``model``, ``system``, ``options``, pin."""
        self._change(**values)
        self._keep_chat()
        self.changed.emit()

    def keep_now(self) -> None:
        """Hand over what is not on its way to the disk yet; the app is about to end."""
        self._keep_answer()
        if self._draft_timer.isActive():
            self._keep_chat()

    # Asking

    def _ask(self, question_id: int, *, truncates: bool = False) -> None:
        messages = self._messages(self.tree.path_to(question_id))
        turn = self._add("assistant", "", question_id, model=self.chat.model, is_whole=False)
        self._begin(turn.id, messages, truncates=truncates)

    def _begin(self, turn_id: int, messages: list[Message], *, truncates: bool = False) -> None:
        options = parse_options(self.chat.options)
        self._answer = _Answer(turn_id, self.tree[turn_id])
        model = self.tree[turn_id].model
        name = conversation_name(self.chat.id)

        def ask(client: Client) -> Stream[Event]:
            self._link.settle()  # one that has ended is started again, and asked then
            return client.chat(
                model,
                messages,
                options=options,
                priority=Priority.INTERACTIVE,
                conversation=name,
                truncates=truncates,
            )

        self._answer.task = self._link.stream(ask, self._took, self._done, self._failed)
        loaded = {str(running.info.name) for running in self._link.state.running}
        ACTIVITY.set_loading(self.chat.id, model not in loaded)
        self._keep_timer.start()
        self._keep_chat()
        self.changed.emit()

    def _messages(self, path: list[Turn]) -> list[Message]:
        system = [Message("system", self.chat.system)] if self.chat.system.strip() else []
        said = (turn for turn in path if turn.text or turn.images)
        return [*system, *(_message(turn) for turn in said)]

    @Slot(object)
    def _heard(self, change: Change) -> None:
        """Look where our question stands among those that the daemon answers."""
        answer = self._answer
        if answer is None or answer.first is not None:
            return
        with contextlib.suppress(CorralError):
            found = requests_of(change)
            if found is not None:
                answer.request = own_request(found, answer.turn.model, answer.asked_at)
                self.grew.emit(answer.turn_id)

    def _took(self, events: list[Event]) -> None:
        answer = self._answer
        if answer is None:
            return
        answer.take(events)
        ACTIVITY.set_loading(self.chat.id, False)
        self.tree.put(answer.turn)
        self.grew.emit(answer.turn_id)

    def _done(self) -> None:
        answer = self._answer
        if answer is not None:
            self._end(answer.figures, is_whole=True)
            if time.monotonic() - answer.asked >= _LONG_S:
                ACTIVITY.announce(tr("An answer is ready"), self.chat.title)

    def _failed(self, error: CorralError) -> None:
        told = {"message": error.message, "hint": error.hint, "code": error.code}
        self._end({"error": told}, is_whole=False)
        self._link.look()

    def _end(self, figures: Mapping[str, Any], *, is_whole: bool) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        self._keep_timer.stop()
        ACTIVITY.set_loading(self.chat.id, False)
        known = {**answer.turn.figures, **answer.clocked(), **figures}
        self._put(replace(answer.turn, figures=known, is_whole=is_whole))
        self._change(changed_s=time.time())
        self._keep_chat()
        self.grew.emit(answer.turn_id)
        self.changed.emit()
        self._link.look()

    # Keeping

    def _add(self, role: str, text: str, parent_id: int, **fields: Any) -> Turn:
        turn = Turn(self.tree.next_id(), parent_id, role, text, created_s=time.time(), **fields)
        self.tree.put(turn)
        self.tree.leaf_id = turn.id
        self._keep_chat()  # before the turn: it belongs to the chat
        self._put(turn)
        return turn

    def _put(self, turn: Turn) -> None:
        self.tree.put(turn)
        if self._archive is not None and self._is_kept:
            chat_id = self.chat.id
            self._archive.do(lambda storage: storage.save_turn(chat_id, turn))

    def _keep_answer(self) -> None:
        if self._answer is not None and self._answer.is_new:
            self._answer.is_new = False
            self._put(self._answer.turn)

    def _change(self, **values: Any) -> None:
        chat = replace(self.chat, **values)
        if chat != self.chat:
            self.chat = chat
            self.listed.emit()

    def _keep_soon(self) -> None:
        if not self._draft_timer.isActive():  # who types without a pause is kept too
            self._draft_timer.start()

    def _keep_chat(self) -> None:
        self._draft_timer.stop()
        self.chat = chat = replace(self.chat, leaf_id=self.tree.leaf_id)
        if self._archive is not None and (self._is_kept or self.is_worth_keeping):
            was_kept, self._is_kept = self._is_kept, True
            self._archive.do(lambda storage: storage.save_chat(chat))
            self._keep_unsent(self._archive)
            if not was_kept:
                self.listed.emit()

    def _keep_unsent(self, archive: Archive) -> None:
        chat_id, unsent = self.chat.id, self.unsent
        for turn_id in self._new_edits:
            archive.do(partial(_save_edit, chat_id, turn_id, unsent.edits.get(turn_id)))
        if self._has_new_files:
            archive.do(lambda storage: storage.save_files(chat_id, unsent.files))
        self._new_edits, self._has_new_files = set(), False


def _save_edit(chat_id: int, turn_id: int, text: str | None, storage: Storage) -> None:
    storage.save_edit(chat_id, turn_id, text)


class _Answer:
    """An answer that is coming, and its clock."""

    def __init__(self, turn_id: int, turn: Turn) -> None:
        self.turn_id = turn_id
        self.turn = turn
        self.task = Task()
        self.asked = time.monotonic()
        self.asked_at = time.time()
        self.request: RunningRequest | None = None
        self.first: float | None = None
        self.spoke: float | None = None
        self.figures: Mapping[str, Any] = {}
        self.is_new = False  # since it was last kept

    def take(self, events: list[Event]) -> None:
        """Add what arrived."""
        texts, thoughts = [], []
        for event in events:
            match event:
                case TextDelta():
                    texts.append(event.text)
                case ThinkingDelta():
                    thoughts.append(event.text)
                case Finished():
                    self.figures = figures_of(event)
                case _:
                    continue  # the app offers no tools
        now = time.monotonic()
        if self.first is None and (texts or thoughts):
            self.first = now
        if self.spoke is None and texts:
            self.spoke = now
        self.turn = replace(
            self.turn,
            text=self.turn.text + "".join(texts),
            thinking=self.turn.thinking + "".join(thoughts),
        )
        self.is_new = True

    def clocked(self) -> dict[str, Any]:
        """What the app's own clock says, in seconds."""
        found: dict[str, Any] = {}
        if self.first is not None:
            found["ttft_s"] = round(self.first - self.asked, 3)
            if self.turn.thinking:
                found["thinking_s"] = round((self.spoke or time.monotonic()) - self.first, 3)
        return found


def own_request(
    requests: list[RunningRequest], model: str, asked_at: float
) -> RunningRequest | None:
    """Return which of the requests is most likely a question's; they have no mark of ours.

    Args:
        requests: All that the daemon has.
        model: Who was asked.
        asked_at: When, in seconds since the epoch.
    """
    ours = [
        one
        for one in requests
        if str(one.model) == model
        and one.priority is Priority.INTERACTIVE
        and abs(one.started_at - asked_at) < _NEAR_S
    ]
    return min(ours, key=lambda one: abs(one.started_at - asked_at), default=None)


def _message(turn: Turn) -> Message:
    return Message(turn.role, turn.text, images=tuple(Image(one) for one in turn.images))


def figures_of(event: Finished) -> dict[str, Any]:
    """Return what is kept of an answer's end."""
    return {
        "reason": event.reason.value,
        "n_prompt": event.usage.n_prompt,
        "n_cached": event.usage.n_cached,
        "n_generated": event.usage.n_generated,
        "load_s": event.timings.load_s,
        "prompt_s": event.timings.prompt_s,
        "decode_s": event.timings.decode_s,
        "n_dropped": event.n_dropped,
    }


def conversation_name(chat_id: int) -> str:
    """Return what the daemon knows a chat by: what it keeps of it goes with the chat."""
    return f"app-{chat_id}"


def title_of(text: str) -> str:
    """Return a title for a chat that opens with ``text``: its first line, cut between words."""
    lines = (line.strip(" \t#*`") for line in text.splitlines())  # a file's name stands in stars
    line = next(filter(None, lines), "")
    if len(line) <= _TITLE_CHARS:
        return line
    cut = line.rfind(" ", _TITLE_CHARS // 2, _TITLE_CHARS)
    return line[: cut if cut > 0 else _TITLE_CHARS].rstrip() + "…"
