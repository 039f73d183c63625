"""A Modelfile's TEMPLATE over a conversation: what it is told, as Ollama tells it.

A template that reads ``.Messages`` gets the whole conversation at once.  An older one, which knows
``.System``, ``.Prompt`` and ``.Response`` alone, is run once for each exchange, and the last time
only as far as its ``.Response``.  Source: Ollama's documentation of templates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from runner.domain.chat import Message, Tool, ToolCall
from runner.domain.request import Think
from runner.errors import TemplateFailed
from runner.prompt.gotemplate.execute import execute
from runner.prompt.gotemplate.functions import typescript_type
from runner.prompt.gotemplate.lex import BadTemplate
from runner.prompt.gotemplate.nodes import (
    Action,
    Branch,
    Call,
    Chain,
    Field,
    Node,
    Nodes,
    Operand,
    Pipe,
    Tree,
    Variable,
)
from runner.prompt.gotemplate.parse import parse
from runner.prompt.gotemplate.values import (
    Shown,
    ShownList,
    Struct,
    TypeNames,
    Value,
    json_of,
    sorted_keys,
)

_RESPONSE = Action(Pipe(((Field(("Response",)),),), line=0))


@dataclass(frozen=True, slots=True)
class Reads:
    """What a template looks at, from its tree.

    Attributes:
        tools: It tells the model which tools there are.
        thinking: It knows of thoughts, or of whether to think.
        system: It has a place for a system message.
        insert: It has a place for what follows the answer.
    """

    tools: bool = False
    thinking: bool = False
    system: bool = False
    insert: bool = False


@lru_cache(maxsize=64)
def reads(source: str) -> Reads:
    """Return what the template ``source`` looks at; nothing when it is not valid."""
    try:
        names = frozenset(_names(parse(source)))
    except BadTemplate:
        return Reads()
    return Reads(
        tools="Tools" in names,
        thinking=bool(names & {"Think", "ThinkLevel", "IsThinkSet", "Thinking"}),
        system=bool(names & {"System", "Messages"}),
        insert="Suffix" in names,
    )


class GoChatTemplate:
    """A compiled TEMPLATE; safe from any thread."""

    def __init__(self, source: str) -> None:
        """Compile ``source``.

        Raises:
            TemplateFailed: It is no valid template; the message names the line.
        """
        self.source = source
        try:
            tree = parse(source)
        except BadTemplate as error:
            raise failed(error) from None
        names = frozenset(_names(tree))
        self._takes_messages = "Messages" in names
        if not names & {"Messages", "Response"}:
            tree = replace(tree, root=(*tree.root, _RESPONSE))
        self._tree = tree
        self._opening = replace(tree, root=_up_to_response(tree.root))

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        think: Think = None,
        suffix: str = "",
    ) -> str:
        """Return the prompt that asks for an answer to ``messages``.

        Args:
            messages: The conversation.
            tools: What the model may call.
            think: Told by ``.Think``, ``.ThinkLevel`` and ``.IsThinkSet``.
            suffix: What follows the answer; then the last message alone is told, as ``.Prompt``.

        Raises:
            TemplateFailed: The template cannot go on, or its output is too large.
            MemoryError: It met the limit that the caller set.
        """
        told = _told(think)
        try:
            if suffix and messages:
                return execute(
                    self._tree, {**told, "Prompt": messages[-1].content, "Suffix": suffix}
                )
            if self._takes_messages:
                return execute(self._tree, {**told, **_conversation(messages, tools)})
            return "".join(self._exchanges(messages, told))
        except BadTemplate as error:
            raise failed(error) from None

    def _exchanges(self, messages: Sequence[Message], told: dict[str, Value]) -> Iterator[str]:
        """One text for each exchange that is over, then the beginning of the next."""
        open_turn = {"System": "", "Prompt": "", "Response": ""}
        for message in collated(messages):
            match message.role:
                case "system":
                    is_over = bool(open_turn["Prompt"] or open_turn["Response"])
                case "user":
                    is_over = bool(open_turn["Response"])
                case "assistant":
                    is_over = False
                case _:
                    continue  # such a template has no place for it
            if is_over:
                yield execute(self._tree, {**told, **open_turn})
                open_turn = dict.fromkeys(open_turn, "")
            place = {"system": "System", "user": "Prompt", "assistant": "Response"}[message.role]
            open_turn[place] = message.content
        yield execute(self._opening, {**told, **open_turn})


def failed(error: BadTemplate) -> TemplateFailed:
    """Return the error that a caller is told."""
    return TemplateFailed(
        f"template error: {error}",
        hint="mend the TEMPLATE, or leave it out: then the model's own chat template is used",
    )


def collated(messages: Sequence[Message]) -> list[Message]:
    """Return ``messages`` with neighbours of one role as one, but those with tools in them."""
    found: list[Message] = []
    for message in messages:
        before = found[-1] if found else None
        if (
            before is None
            or before.role != message.role
            or message.role == "tool"
            or before.tool_calls
            or message.tool_calls
        ):
            found.append(message)
            continue
        thinking = "\n\n".join(text for text in (before.thinking, message.thinking) if text)
        content = f"{before.content}\n\n{message.content}"
        found[-1] = replace(
            before, content=content, thinking=thinking, images=(*before.images, *message.images)
        )
    return found


# What is told


def _told(think: Think) -> dict[str, Value]:
    level = think if isinstance(think, str) else ""
    return {
        "Response": "",
        "Think": bool(think),
        "ThinkLevel": level,
        "IsThinkSet": think is not None,
    }


def _conversation(messages: Sequence[Message], tools: Sequence[Tool]) -> dict[str, Value]:
    return {
        "System": "\n\n".join(turn.content for turn in messages if turn.role == "system"),
        "Messages": [_message(turn) for turn in collated(messages)],
        "Tools": ShownList(_tool(tool) for tool in tools),
    }


def _message(turn: Message) -> Struct:
    fields = {
        "Role": turn.role,
        "Content": turn.content,
        "Thinking": turn.thinking,
        "Images": [""] * len(turn.images),
        "ToolCalls": [_call(call, index) for index, call in enumerate(turn.tool_calls)],
        "ToolName": turn.tool_name,
        "ToolCallID": turn.tool_call_id,
    }
    return Struct("*template.templateMessage", fields)


def _call(call: ToolCall, index: int) -> Struct:
    arguments = Shown(_plain(call.arguments))
    function = {"Index": index, "Name": call.name, "Arguments": arguments}
    json = {"index": index, "name": call.name, "arguments": _plain(call.arguments)}
    return Struct(
        "template.templateToolCall",
        {
            "ID": call.id,
            "Function": Struct("template.templateToolCallFunction", function, json=json),
        },
        json={"id": call.id, "function": json},
    )


def _tool(tool: Tool) -> Struct:
    parameters = _parameters(_plain(tool.parameters))
    function = {"Name": tool.name, "Description": tool.description, "Parameters": parameters}
    written = {"name": tool.name, "description": tool.description, "parameters": parameters}
    shown = _shown("template.templateToolFunction", function, written)
    return _shown(
        "template.templateTool",
        {"Type": "function", "Items": None, "Function": shown},
        {"type": "function", "function": shown},
    )


def _parameters(schema: dict[str, Any]) -> Struct:
    properties = _properties(schema.get("properties"))
    by_name = Shown((name, properties[name]) for name in sorted_keys(properties))
    known = {
        "type": schema.get("type", "object"),
        "$defs": _sorted(schema.get("$defs")),
        "items": _sorted(schema.get("items")),
        "required": schema.get("required"),
        "properties": by_name,
    }
    fields: dict[str, Value] = {
        "Type": known["type"] if isinstance(known["type"], str) else json_of(known["type"]),
        "Defs": known["$defs"],
        "Items": known["items"],
        "Required": known["required"] if isinstance(known["required"], list) else [],
        "Properties": by_name,
    }
    written = {**_written(known, schema), "properties": by_name}
    return _shown("template.templateToolFunctionParameters", fields, written)


def _properties(schemas: Any) -> dict[str, Value]:
    found = schemas if isinstance(schemas, dict) else {}
    return {name: _property(schema) for name, schema in found.items()}


def _property(schema: Any) -> Struct:
    if not isinstance(schema, dict):
        schema = {}
    kind = schema.get("type")
    any_of, choices, required = (schema.get(key) for key in ("anyOf", "enum", "required"))
    below = _properties(schema.get("properties"))
    known = {
        "anyOf": [_property(each) for each in any_of] if isinstance(any_of, list) else any_of,
        "type": kind[0] if isinstance(kind, list) and len(kind) == 1 else kind,
        "items": _sorted(schema.get("items")),
        "description": schema.get("description"),
        "enum": choices,
        "properties": below if below else schema.get("properties"),
        "required": required,
    }
    fields: dict[str, Value] = {
        "AnyOf": known["anyOf"] if isinstance(any_of, list) else [],
        "Type": TypeNames([kind] if isinstance(kind, str) else kind or []),
        "Items": known["items"],
        "Description": schema.get("description") or "",
        "Enum": choices if isinstance(choices, list) else [],
        "Required": required if isinstance(required, list) else [],
        "Properties": Shown(below),
    }
    written = _written(known, schema)
    made = Struct("api.ToolProperty", fields, json=written)
    return Struct(
        made.type_name,
        fields,
        json=written,
        methods={"ToTypeScriptType": lambda: typescript_type(made)},
    )


def _written(known: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema's JSON: what Ollama knows, in its order and unless it is empty, then all else."""
    told = {key: value for key, value in known.items() if value not in (None, "", [])}
    return {**told, **{key: _sorted(value) for key, value in schema.items() if key not in known}}


def _sorted(value: Any) -> Any:
    """``value`` with all its keys in order, as Go writes maps."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted_keys(value)}
    return [_sorted(entry) for entry in value] if isinstance(value, list) else value


def _shown(name: str, fields: Mapping[str, Value], written: Mapping[str, Value]) -> Struct:
    """A value that prints as its JSON."""
    plain = Struct(name, fields, json=dict(written))
    return Struct(name, fields, json=dict(written), text=lambda: json_of(plain))


def _plain(value: Any) -> Any:
    """``value`` in lists and dictionaries alone, however the caller's mappings are made."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


# The tree


def _names(tree: Tree) -> Iterator[str]:
    """Yield every name of a field that the template, or one it defines, asks for."""
    for nodes in (tree.root, *tree.defined.values()):
        yield from _names_in(nodes)


def _names_in(nodes: Nodes) -> Iterator[str]:
    for node in nodes:
        match node:
            case Action(pipe):
                yield from _names_of(pipe)
            case Branch():
                yield from _names_of(node.pipe)
                yield from _names_in(node.body)
                yield from _names_in(node.otherwise)
            case Call() if node.pipe:
                yield from _names_of(node.pipe)
            case _:
                pass


def _names_of(operand: Operand) -> Iterator[str]:
    match operand:
        case Field() | Variable():
            yield from operand.names
        case Chain():
            yield from operand.names
            yield from _names_of(operand.operand)
        case Pipe():
            for command in operand.commands:
                for part in command:
                    yield from _names_of(part)
        case _:
            pass


def _up_to_response(nodes: Nodes) -> Nodes:
    """``nodes`` without what comes after the first ``.Response`` that is written."""
    return _cut(nodes)[0]


def _cut(nodes: Nodes) -> tuple[Nodes, bool]:
    """The nodes up to that place, and whether it was found."""
    found: list[Node] = []
    for node in nodes:
        is_cut = False
        if isinstance(node, Branch):
            body, is_cut = _cut(node.body)
            otherwise, is_cut_there = ((), True) if is_cut else _cut(node.otherwise)
            found.append(replace(node, body=body, otherwise=otherwise))
            is_cut = is_cut or is_cut_there
        else:
            found.append(node)
            if isinstance(node, Action):
                is_cut = any(
                    isinstance(part, Field) and part.names[0] == "Response"
                    for command in node.pipe.commands
                    for part in command
                )
        if is_cut:
            return tuple(found), True
    return tuple(found), False
