"""A chat as a file that can be taken elsewhere and back: JSON, or Markdown.

JSON has every branch; Markdown is for reading and has one.  Lists of messages, as other programs
write them, are taken in too.  Pure: text in, text out.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import Any

from gui.chats.storage import Chat
from gui.chats.tree import Turn
from runner.domain.options import parse_options
from runner.errors import InvalidRequest

FORMAT = 1
_KIND = "corral-chat"
_ROLES = ("user", "assistant")
_CHAT_FIELDS = ("title", "model", "system")


@dataclass(frozen=True, slots=True)
class Exported:
    """A chat and its turns."""

    chat: Chat
    turns: Iterable[Turn]


def to_json(exported: Exported) -> str:
    """Return the chat with all its branches."""
    chat = exported.chat
    value = {
        "kind": _KIND,
        "format": FORMAT,
        **{name: getattr(chat, name) for name in _CHAT_FIELDS},
        "options": dict(chat.options),
        "leaf_id": chat.leaf_id,
        "turns": [
            {f.name: _plain(getattr(turn, f.name)) for f in fields(Turn)} for turn in exported.turns
        ],
    }
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def to_markdown(exported: Exported) -> str:
    """Return the turns, one after the other, with comments by which they are found again."""
    chat, turns = exported.chat, list(exported.turns)
    mark = _mark_for("".join((chat.title, chat.system, *(turn.text for turn in turns))))
    head = _comment({name: getattr(chat, name) for name in _CHAT_FIELDS})
    lines = [f"<!-- {_KIND} {FORMAT} {mark} {head} -->"]
    lines.append(f"# {chat.title}\n")
    for turn in turns:
        model = " ".join(turn.model.split())  # a heading is one line
        who = "You" if turn.role == "user" else model or "Assistant"
        said_by = _comment({"role": turn.role, "model": turn.model})
        lines.append(f"<!-- {mark} {said_by} -->\n## {who}\n\n{turn.text}\n")
    return "\n".join([*lines, ""])


def from_text(text: str, name: str) -> Exported:
    """Return the chat in a file's text; ``name`` is its title where it has none.

    Raises:
        InvalidRequest: It is not a chat, or of a newer format.
    """
    if text.startswith(f"<!-- {_KIND} "):
        return _from_markdown(text, name)
    try:
        value = json.loads(text)
    except ValueError:
        raise _not_a_chat("it is neither JSON nor Markdown written by Corral") from None
    except RecursionError:
        raise _not_a_chat("its JSON is nested too deeply") from None
    if isinstance(value, dict) and value.get("kind") == _KIND:
        return _from_json(value, name)
    messages = value.get("messages") if isinstance(value, dict) else value
    if not isinstance(messages, list):
        raise _not_a_chat("it has no list 'messages'")
    return _from_messages(messages, name)


def _from_json(value: Mapping[str, Any], name: str) -> Exported:
    _check_format(value.get("format"))
    raw = value.get("turns")
    if not isinstance(raw, list):
        raise _not_a_chat("'turns' is not a list")
    turns = [_turn(entry, index) for index, entry in enumerate(raw)]
    known = {0}
    for turn in sorted(turns, key=lambda turn: turn.id):
        if turn.parent_id not in known or turn.id in known:
            raise _not_a_chat(f"turn {turn.id} does not follow an earlier one")
        known.add(turn.id)
    leaf_id = value.get("leaf_id")
    options = value.get("options")
    if options is not None and not isinstance(options, dict):
        raise _not_a_chat("'options' is not an object")
    chat = replace(
        _chat(value),
        options=parse_options(options or {}).set_values(),
        leaf_id=leaf_id if isinstance(leaf_id, int) and leaf_id in known else 0,
    )
    return Exported(replace(chat, title=chat.title or name), turns)


def _from_markdown(text: str, name: str) -> Exported:
    head, _, rest = text.partition("\n")
    words = head.removesuffix(" -->").split(" ", 4)
    if len(words) != 5:
        raise _not_a_chat("its first line is damaged")
    _check_format(int(words[2]) if words[2].isdigit() else None)
    chat = _chat(_object(words[4]))
    turns: list[Turn] = []
    for part in rest.split(f"<!-- {words[3]} ")[1:]:
        line, _, body = part.partition(" -->\n")
        by = _object(line)
        said = body.partition("\n\n")[2].removesuffix("\n").removesuffix("\n")
        if by.get("role") not in _ROLES:
            raise _not_a_chat(f"turn {len(turns) + 1} is by nobody it knows")
        model = _text(by.get("model"))
        turns.append(Turn(len(turns) + 1, len(turns), str(by["role"]), said, model=model))
    return Exported(replace(chat, title=chat.title or name), turns)


def _from_messages(messages: list[Any], name: str) -> Exported:
    system: list[str] = []
    turns: list[Turn] = []
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise _not_a_chat(f"messages[{index}] is not an object")
        role, said = message.get("role"), _said(message.get("content"))
        if role in ("system", "developer"):
            system.append(said)
        elif role in _ROLES:
            turns.append(Turn(len(turns) + 1, len(turns), role, said))
    if not turns:
        raise _not_a_chat("nobody says anything in it")
    return Exported(Chat(title=name, system="\n\n".join(system)), turns)


def _said(content: object) -> str:
    """The text of a message, be it plain or in parts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n\n".join(part for part in parts if isinstance(part, str))
    return _text(content)


def _turn(entry: object, index: int) -> Turn:
    if not isinstance(entry, dict):
        raise _not_a_chat(f"turns[{index}] is not an object")
    known = {f.name: entry[f.name] for f in fields(Turn) if f.name in entry}
    known["images"] = _images(entry, index)
    try:
        turn = Turn(**known)
    except TypeError:
        raise _not_a_chat(f"turns[{index}] lacks a field") from None
    kinds: tuple[tuple[str, type | tuple[type, ...]], ...] = (
        *(("id", int), ("parent_id", int), ("role", str), ("text", str), ("thinking", str)),
        *(("model", str), ("figures", dict), ("is_whole", bool), ("created_s", (int, float))),
    )
    for field, kind in kinds:
        if not isinstance(getattr(turn, field), kind):
            raise _not_a_chat(f"turns[{index}].{field} has the wrong type")
    if turn.role not in _ROLES or not 0 < turn.id < 2**53:
        raise _not_a_chat(f"turns[{index}] has no known role or no id")
    return turn


def _check_format(number: object) -> None:
    if number != FORMAT:
        raise InvalidRequest(
            f"the chat has format {number}; this program knows format {FORMAT}",
            hint="a newer Corral has written it: update Corral",
        )


def _mark_for(text: str) -> str:
    """Return a word that ``text`` does not have."""
    mark = sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    while mark in text:
        mark = sha256(mark.encode()).hexdigest()[:8]
    return mark


def _chat(value: Mapping[str, Any]) -> Chat:
    title, model, system = (_text(value.get(field)) for field in _CHAT_FIELDS)
    return Chat(title=title, model=model, system=system)


def _comment(value: Mapping[str, str]) -> str:
    """JSON that cannot end the comment it stands in."""
    return json.dumps(value, ensure_ascii=True).replace(">", "\\u003e")


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _not_a_chat("one of its comments is damaged")
    return value


def _plain(value: object) -> object:
    if isinstance(value, tuple):  # pictures
        return [b64encode(one).decode() for one in value]
    return dict(value) if isinstance(value, Mapping) else value


def _images(entry: Mapping[str, Any], index: int) -> tuple[bytes, ...]:
    told = entry.get("images", [])
    if not isinstance(told, list) or not all(isinstance(one, str) for one in told):
        raise _not_a_chat(f"turns[{index}].images is not a list of texts")
    try:
        return tuple(b64decode(one, validate=True) for one in told)
    except ValueError:
        raise _not_a_chat(f"turns[{index}].images is not in base64") from None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _not_a_chat(reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"this file is not a chat: {reason}", hint="export one from the chat's menu to see the form"
    )
