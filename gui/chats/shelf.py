"""All chats: which there are, which are open, and what happens to them as a whole.

A deleted chat can be brought back for a while; only then it leaves the disk.  An open chat stays in
memory while it answers, whichever is in sight.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from gui.chats.archive import Archive
from gui.chats.conversation import Conversation, conversation_name
from gui.chats.export import Exported, from_text, to_json, to_markdown
from gui.chats.files import TextFile
from gui.chats.pictures import Picture
from gui.chats.presets import Preset
from gui.chats.storage import Chat, Hit, Storage
from gui.chats.tree import Turn
from gui.chats.unsent import Unsent
from gui.link import Link
from runner.client.client import Client
from runner.errors import InvalidRequest, StoreError

#: Milliseconds in which a deleted chat can be brought back.
UNDO_MS = 10_000
_MAX_IMPORT = 64 * 1024 * 1024  # bytes


class Shelf(QObject):
    """Made and used on the GUI's thread.

    Signals:
        listed: All chats there are, as ``list[Chat]``, in the order to show.
        opened: A ``Conversation`` to show.
        deleted: A ``Chat`` that ``undo`` brings back.
        found: What a search was for, and its hits.
        failed: A ``CorralError`` to tell.
        kept: The user's own presets, as ``list[Preset]``.
    """

    listed = Signal(list)
    opened = Signal(object)
    deleted = Signal(object)
    found = Signal(str, list)
    failed = Signal(object)
    kept = Signal(list)

    def __init__(self, link: Link, archive: Archive, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._link = link
        self._archive = archive
        self._chats: dict[int, Chat] = {}
        self._open: dict[int, Conversation] = {}
        self._doomed: Chat | None = None
        self._last_id = 0
        self._wanted = 0  # the chat asked for last
        self._undo_timer = QTimer(self)
        self._undo_timer.setSingleShot(True)
        self._undo_timer.timeout.connect(self._delete_doomed)
        archive.failed.connect(self.failed)
        archive.do(Storage.chats, self._read)
        archive.do(Storage.presets, self.kept.emit)

    def chats(self) -> list[Chat]:
        """Return all chats, pinned ones first, then the last changed."""
        doomed = self._doomed.id if self._doomed else 0
        there = [chat for chat in self._chats.values() if chat.id != doomed]
        return sorted(there, key=lambda chat: (not chat.is_pinned, -chat.changed_s, -chat.id))

    def new(self, model: str, *, is_temporary: bool = False) -> Conversation:
        """Open an empty chat."""
        now = time.time()
        # Microseconds since the epoch: known before the file has answered, and never used twice.
        self._last_id = max(self._last_id + 1, int(now * 1e6))
        chat = Chat(self._last_id, model=model, created_s=now, changed_s=now)
        archive = None if is_temporary else self._archive
        return self._show(Conversation(chat, [], link=self._link, archive=archive))

    def open(self, chat_id: int) -> None:
        """Open a chat; ``opened`` follows, unless another one was asked for meanwhile."""
        self._wanted = chat_id
        if chat_id in self._open:
            self.opened.emit(self._open[chat_id])
            return

        def read(held: tuple[list[Turn], Unsent]) -> None:
            chat = self._chats.get(chat_id)
            if self._wanted == chat_id and chat is not None:
                turns, unsent = held
                conversation = Conversation(
                    *(chat, turns),
                    link=self._link,
                    archive=self._archive,
                    unsent=unsent,
                    is_kept=True,
                )
                self._show(conversation)

        self._archive.do(lambda storage: (storage.turns(chat_id), storage.unsent(chat_id)), read)

    def change(self, chat_id: int, **values: Any) -> None:
        """Change fields of a chat, open or not."""
        if chat_id in self._open:
            self._open[chat_id].set_fields(**values)
        elif chat := self._chats.get(chat_id):
            self._chats[chat_id] = chat = replace(chat, **values)
            self._archive.do(lambda storage: storage.save_chat(chat))
            self.listed.emit(self.chats())

    def add_file(self, chat_id: int, file: TextFile | Picture) -> None:
        """Let a file go with the next question of a chat, open or not."""
        if (held := self._open.get(chat_id)) is not None:
            held.set_files([*held.unsent.files, file])
        elif chat_id in self._chats:

            def add(storage: Storage) -> None:
                storage.save_files(chat_id, [*storage.unsent(chat_id).files, file])

            self._archive.do(add)

    def delete(self, chat_id: int) -> None:
        """Take a chat out of sight; it leaves the disk when it can no longer be brought back."""
        self._delete_doomed()
        if (held := self._open.pop(chat_id, None)) is not None:
            held.stop()
            held.keep_now()
            if chat_id in self._chats:
                self._chats[chat_id] = held.chat
        self._doomed = self._chats.get(chat_id)
        if self._doomed is not None:
            self._undo_timer.start(UNDO_MS)
            self.listed.emit(self.chats())
            self.deleted.emit(self._doomed)

    def undo(self) -> None:
        """Bring the chat back that was deleted last."""
        self._undo_timer.stop()
        doomed, self._doomed = self._doomed, None
        if doomed is not None:
            self.listed.emit(self.chats())
            self.open(doomed.id)

    def search(self, text: str) -> None:
        """Look through all turns; ``found`` follows."""
        self._archive.do(
            lambda storage: storage.search(text), lambda hits: self.found.emit(text, self._of(hits))
        )

    def export(self, conversation: Conversation, path: Path) -> None:
        """Write a chat to a file: JSON with all branches, or what is in sight as Markdown."""
        tree, chat = conversation.tree, conversation.chat
        if path.suffix.lower() == ".json":
            text = to_json(Exported(chat, tree.turns()))
        else:
            text = to_markdown(Exported(chat, tree.path()))
        self._link.call(lambda _: _write(path, text), failed=self.failed.emit)

    def import_file(self, path: Path) -> None:
        """Take in a chat that was written to a file; ``opened`` follows."""

        def read(_: Client) -> Exported:
            return from_text(_read_text(path), path.stem)

        self._link.call(read, self._take_in, self.failed.emit)

    def keep_preset(self, preset: Preset) -> None:
        """Keep a preset; ``kept`` follows."""
        self._archive.do(lambda storage: storage.save_preset(preset))
        self._archive.do(Storage.presets, self.kept.emit)

    def forget_preset(self, name: str) -> None:
        """Forget a preset; ``kept`` follows."""
        self._archive.do(lambda storage: storage.delete_preset(name))
        self._archive.do(Storage.presets, self.kept.emit)

    def close(self) -> None:
        """Hand over what is not on disk; the archive is closed afterwards."""
        self._delete_doomed()
        for conversation in self._open.values():
            conversation.keep_now()

    def _read(self, chats: list[Chat]) -> None:
        self._chats = {chat.id: chat for chat in chats} | self._chats
        self.listed.emit(self.chats())

    def _show(self, conversation: Conversation) -> Conversation:
        self._forget_idle()
        chat_id = conversation.chat.id
        self._wanted = chat_id
        self._open[chat_id] = conversation
        conversation.listed.connect(lambda: self._relist(conversation))
        self.opened.emit(conversation)
        return conversation

    def _forget_idle(self) -> None:
        for chat_id, conversation in list(self._open.items()):
            if not conversation.answering_id:
                conversation.keep_now()
                if chat_id in self._chats:  # with its draft, and the branch that was in sight
                    self._chats[chat_id] = conversation.chat
                del self._open[chat_id]
                conversation.deleteLater()

    def _relist(self, conversation: Conversation) -> None:
        if not conversation.is_temporary and conversation.is_worth_keeping:
            self._chats[conversation.chat.id] = conversation.chat
            self.listed.emit(self.chats())

    def _delete_doomed(self) -> None:
        doomed, self._doomed = self._doomed, None
        self._undo_timer.stop()
        if doomed is not None:
            self._chats.pop(doomed.id, None)
            self._archive.do(lambda storage: storage.delete_chat(doomed.id))
            # A daemon that is not there has nothing in memory; what is on disk goes as it ages.
            name = conversation_name(doomed.id)
            self._link.call(lambda client: client.clear_cache(conversation=name))

    def _take_in(self, found: Exported) -> None:
        now = time.time()
        self._last_id = max(self._last_id + 1, int(now * 1e6))
        chat = replace(found.chat, id=self._last_id, created_s=now, changed_s=now)
        turns = list(found.turns)

        def keep(storage: Storage) -> None:
            storage.save_chat(chat)
            for turn in turns:
                storage.save_turn(chat.id, turn)

        self._chats[chat.id] = chat
        self._archive.do(keep)
        self.listed.emit(self.chats())
        self.open(chat.id)

    def _of(self, hits: list[Hit]) -> list[Hit]:
        doomed = self._doomed.id if self._doomed else 0
        return [hit for hit in hits if hit.chat_id != doomed]


def _read_text(path: Path) -> str:
    try:
        if (n_bytes := path.stat().st_size) > _MAX_IMPORT:
            raise InvalidRequest(
                f"{path.name} has {n_bytes} bytes, at most {_MAX_IMPORT} are taken"
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest(f"{path.name} is not text in UTF-8") from None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror}", hint="choose another folder"
        ) from None
