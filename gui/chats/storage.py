"""Chats in a SQLite file; used by one thread, which is never the one that draws.

Write-ahead logging makes each change lasting when the call returns, and a crash loses nothing that
was handed over.  ``FORMAT`` counts the changes of the tables: an older file is copied aside and
brought up to date, a newer one is refused.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gui.chats.files import TextFile
from gui.chats.pictures import Picture
from gui.chats.presets import Preset
from gui.chats.tree import Turn
from gui.chats.unsent import Unsent
from runner.errors import StoreError

FORMAT = 3

#: Of format 1.
_TABLES = """
CREATE TABLE chats (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL DEFAULT '',
    model TEXT NOT NULL DEFAULT '',
    system TEXT NOT NULL DEFAULT '',
    options TEXT NOT NULL DEFAULT '{}',
    draft TEXT NOT NULL DEFAULT '',
    is_pinned INTEGER NOT NULL DEFAULT 0,
    leaf_id INTEGER NOT NULL DEFAULT 0,
    created_s REAL NOT NULL,
    changed_s REAL NOT NULL
);
CREATE INDEX chats_by_change ON chats (is_pinned DESC, changed_s DESC);
CREATE TABLE turns (
    chat_id INTEGER NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
    id INTEGER NOT NULL,
    parent_id INTEGER NOT NULL,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    thinking TEXT NOT NULL,
    model TEXT NOT NULL,
    figures TEXT NOT NULL,
    is_whole INTEGER NOT NULL,
    created_s REAL NOT NULL,
    PRIMARY KEY (chat_id, id)
);
CREATE VIRTUAL TABLE words USING fts5 (text, chat_id UNINDEXED, turn_id UNINDEXED);
"""

#: What brings a file of format n to n + 1, by n.
_MIGRATIONS: Mapping[int, str] = {
    1: """
CREATE TABLE images (
    chat_id INTEGER NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
    turn_id INTEGER NOT NULL,
    place INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (chat_id, turn_id, place)
);
CREATE TABLE presets (
    name TEXT PRIMARY KEY,
    system TEXT NOT NULL,
    options TEXT NOT NULL
)
""",
    2: """
CREATE TABLE edits (
    chat_id INTEGER NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
    turn_id INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (chat_id, turn_id)
);
CREATE TABLE files (
    chat_id INTEGER NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    name TEXT NOT NULL,
    text TEXT,
    picture BLOB,
    PRIMARY KEY (chat_id, place)
)
""",
}


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat without its turns.

    Attributes:
        id: 0 until it is kept.
        title: Shown in the list; empty: its first words are.
        model: Who answers next.
        system: Its own system message.
        options: Sampling options by Ollama's names.
        draft: What was typed and not sent.
        is_pinned: Whether it stands above the others.
        leaf_id: The last turn of the branch in sight.
        created_s: Seconds since the epoch.
        changed_s: The same, of its last turn.
    """

    id: int = 0
    title: str = ""
    model: str = ""
    system: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    draft: str = ""
    is_pinned: bool = False
    leaf_id: int = 0
    created_s: float = 0.0
    changed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Hit:
    """A turn that a search found; in ``snippet`` its words stand between STX and ETX."""

    chat_id: int
    turn_id: int
    snippet: str


class Storage:
    """The file, open."""

    def __init__(self, path: Path) -> None:
        """Open the file, made or brought up to date if need be.

        Raises:
            StoreError: It is of a newer program, or damaged.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._prepare(path)
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"the chats cannot be opened: {error}",
                hint=f"they are in {path.name}; put that file aside to begin anew",
            ) from None
        path.chmod(0o600)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def chats(self) -> list[Chat]:
        """Return all chats, pinned ones first, then the last changed."""
        rows = self._db.execute(
            "SELECT id, title, model, system, options, draft, is_pinned, leaf_id, created_s,"
            " changed_s FROM chats ORDER BY is_pinned DESC, changed_s DESC, id DESC"
        )
        return [_chat(row) for row in rows]

    def turns(self, chat_id: int) -> list[Turn]:
        """Return the turns of a chat, all branches, oldest first."""
        rows = self._db.execute(
            "SELECT id, parent_id, role, text, thinking, model, figures, is_whole, created_s"
            " FROM turns WHERE chat_id = ? ORDER BY id",
            (chat_id,),
        )
        images: dict[int, list[bytes]] = {}
        for turn_id, content in self._db.execute(
            "SELECT turn_id, content FROM images WHERE chat_id = ? ORDER BY turn_id, place",
            (chat_id,),
        ):
            images.setdefault(turn_id, []).append(content)
        return [_turn(row, images.get(row[0], ())) for row in rows]

    def save_chat(self, chat: Chat) -> Chat:
        """Keep a chat's own fields; returns it with its id."""
        now = time.time()
        values = (
            chat.title,
            chat.model,
            chat.system,
            json.dumps(dict(chat.options)),
            chat.draft,
            chat.is_pinned,
            chat.leaf_id,
            chat.created_s or now,
            chat.changed_s or now,
        )
        row = self._db.execute(
            "INSERT INTO chats (id, title, model, system, options, draft, is_pinned, leaf_id,"
            " created_s, changed_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET title = excluded.title, model = excluded.model,"
            " system = excluded.system, options = excluded.options, draft = excluded.draft,"
            " is_pinned = excluded.is_pinned, leaf_id = excluded.leaf_id,"
            " changed_s = excluded.changed_s"
            " RETURNING id, title, model, system, options, draft, is_pinned, leaf_id, created_s,"
            " changed_s",
            (chat.id or None, *values),
        ).fetchone()
        return _chat(row)

    def save_turn(self, chat_id: int, turn: Turn) -> None:
        """Keep a turn, or what became of it."""
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    chat_id,
                    turn.id,
                    turn.parent_id,
                    turn.role,
                    turn.text,
                    turn.thinking,
                    turn.model,
                    json.dumps(dict(turn.figures)),
                    turn.is_whole,
                    turn.created_s or time.time(),
                ),
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?)",
                [(chat_id, turn.id, place, one) for place, one in enumerate(turn.images)],
            )
            self._db.execute(
                "DELETE FROM words WHERE chat_id = ? AND turn_id = ?", (chat_id, turn.id)
            )
            self._db.execute(
                "INSERT INTO words VALUES (?, ?, ?)", (_apart(turn.text), chat_id, turn.id)
            )

    def unsent(self, chat_id: int) -> Unsent:
        """Return what was typed into a chat or added to it, and is not sent."""
        edits = self._db.execute("SELECT turn_id, text FROM edits WHERE chat_id = ?", (chat_id,))
        files = self._db.execute(
            "SELECT name, text, picture FROM files WHERE chat_id = ? ORDER BY place", (chat_id,)
        )
        return Unsent(dict(edits.fetchall()), tuple(_file(*row) for row in files))

    def save_edit(self, chat_id: int, turn_id: int, text: str | None) -> None:
        """Keep what is typed in place of a turn; ``None``: nothing is any more."""
        if text is None:
            self._db.execute(
                "DELETE FROM edits WHERE chat_id = ? AND turn_id = ?", (chat_id, turn_id)
            )
        else:
            self._db.execute(
                "INSERT OR REPLACE INTO edits VALUES (?, ?, ?)", (chat_id, turn_id, text)
            )

    def save_files(self, chat_id: int, files: Sequence[TextFile | Picture]) -> None:
        """Keep what goes with the next question, in the place of what went with it before."""
        with self._transaction():
            self._db.execute("DELETE FROM files WHERE chat_id = ?", (chat_id,))
            for place, file in enumerate(files):
                held = (file.text, None) if isinstance(file, TextFile) else (None, file.content)
                self._db.execute(
                    "INSERT INTO files VALUES (?, ?, ?, ?, ?)", (chat_id, place, file.name, *held)
                )

    def delete_chat(self, chat_id: int) -> None:
        """Forget a chat and all its turns."""
        with self._transaction():
            self._db.execute("DELETE FROM words WHERE chat_id = ?", (chat_id,))
            self._db.execute("DELETE FROM chats WHERE id = ?", (chat_id,))

    def presets(self) -> list[Preset]:
        """Return the user's own presets, by name."""
        rows = self._db.execute("SELECT name, system, options FROM presets ORDER BY name")
        return [Preset(name, system, json.loads(options)) for name, system, options in rows]

    def save_preset(self, preset: Preset) -> None:
        """Keep a preset; one of the same name is replaced."""
        options = json.dumps(dict(preset.options))
        self._db.execute(
            "INSERT OR REPLACE INTO presets VALUES (?, ?, ?)", (preset.name, preset.system, options)
        )

    def delete_preset(self, name: str) -> None:
        """Forget a preset."""
        self._db.execute("DELETE FROM presets WHERE name = ?", (name,))

    def search(self, text: str, n_most: int = 100) -> list[Hit]:
        """Return the turns that have all words of ``text``, the last one as a beginning."""
        words = [_apart(word.replace('"', '""')) for word in text.split()]
        if not words:
            return []
        query = " ".join(f'"{word}"' for word in words) + "*"
        rows = self._db.execute(
            "SELECT chat_id, turn_id, snippet(words, 0, char(2), char(3), '…', 12)"
            " FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?",
            (query, n_most),
        )
        return [Hit(chat_id, turn_id, _together(found)) for chat_id, turn_id, found in rows]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _prepare(self, path: Path) -> None:
        number = self._format()
        if number > FORMAT:
            raise StoreError(
                f"the chats have format {number}; this program knows format {FORMAT}",
                hint="a newer Corral has written them: update Corral",
            )
        if 0 < number < FORMAT:
            self._put_aside(path.with_name(f"{path.name}.format{number}"))
        with self._transaction():
            number = self._format()  # again: another opener may have been first
            if number == FORMAT:
                return
            steps = [_TABLES] if not number else []
            steps += [_MIGRATIONS[n] for n in range(number or 1, FORMAT)]
            # Not executescript: that would end the transaction first.
            for statement in ";".join(steps).split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {FORMAT}")

    def _format(self) -> int:
        [number] = self._db.execute("PRAGMA user_version").fetchone()
        return int(number)

    def _put_aside(self, path: Path) -> None:
        """Copy the file as it is; what still stands in its log too."""
        with closing(sqlite3.connect(path)) as copy:
            self._db.backup(copy)
        path.chmod(0o600)


def _chat(row: tuple[Any, ...]) -> Chat:
    number, title, model, system, options, draft, is_pinned, leaf_id, created_s, changed_s = row
    return Chat(
        *(number, title, model, system, json.loads(options), draft),
        *(bool(is_pinned), leaf_id, created_s, changed_s),
    )


def _turn(row: tuple[Any, ...], images: Sequence[bytes] = ()) -> Turn:
    number, parent_id, role, text, thinking, model, figures, is_whole, created_s = row
    return Turn(
        *(number, parent_id, role, text, thinking, model, json.loads(figures)),
        *(bool(is_whole), created_s, tuple(images)),
    )


def _file(name: str, text: str | None, picture: bytes | None) -> TextFile | Picture:
    return TextFile(name, text or "") if picture is None else Picture(name, picture)


#: Writing without spaces between words: each character is a word to the index.
_CJK = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_CJK_CHARACTER = re.compile(f"([{_CJK}])")
#: No width, and to the index the end of a word.
_GAP = "\u200b"


def _apart(text: str) -> str:
    """Return ``text`` as it is indexed."""
    return _CJK_CHARACTER.sub(rf"{_GAP}\1{_GAP}", text)


def _together(text: str) -> str:
    """Return a piece of the index as a person writes it."""
    return text.replace(_GAP, "")
