"""``POST /v1/responses``: what is asked.

The conversation comes as a list of items; what the assistant thought, said and called in one turn
are items of their own there and one message here.  Answers are not kept, so nothing can refer to an
earlier one: the whole conversation comes with each request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from runner.dialects import wire
from runner.dialects.constraints import n_logprobs
from runner.dialects.fields import parse_keep_alive
from runner.dialects.images import MAX_IMAGES, laid_out, parse_image_url
from runner.dialects.plain import plain
from runner.domain.chat import Image, Message, Tool, ToolCall
from runner.domain.name import ModelName
from runner.domain.options import Options, parse_options
from runner.domain.request import Constraint, InferenceRequest, Think, ToolChoice
from runner.errors import InvalidRequest, Unsupported

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_EFFORTS: dict[str, Think] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "ultra": "max",
    "max": "max",
}


class ReasoningBody(msgspec.Struct):
    """``reasoning``."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max"] | None = (
        None
    )
    summary: str | None = None


class TextBody(msgspec.Struct):
    """``text``."""

    format: dict[str, Any] | None = None


class ToolBody(msgspec.Struct):
    """A tool; only functions are the model's to call here, and namespaces of them.

    A search of the web runs on OpenAI's servers; programs send it along with each request, so it is
    left out: the model does not hear of it, and the answer says so in ``warnings``.
    """

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    tools: list[ToolBody] | None = None

    @property
    def is_search(self) -> bool:
        """Whether it is a search of the web, which is left out."""
        return self.type.startswith("web_search")


class ResponsesBody(msgspec.Struct):
    """The body; fields not named here are ignored.  ``num_ctx`` and ``keep_alive`` are ours."""

    model: str | None = None
    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stream: bool | None = None
    tools: list[ToolBody] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningBody | None = None
    text: TextBody | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: dict[str, Any] | None = None
    user: str | None = None
    store: bool | None = None
    include: list[str] | None = None
    top_logprobs: int | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    num_ctx: int | None = None
    keep_alive: Any = None


_body = msgspec.json.Decoder(ResponsesBody)

#: What asks in ``include`` for how likely the answer's tokens were.
_LOGPROBS = "message.output_text.logprobs"

#: Options by the field that sets them.
_OPTIONS = {
    "max_output_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "num_ctx": "num_ctx",
}


@dataclass(frozen=True, slots=True)
class Call:
    """What one call asks for.

    Attributes:
        request: For the service.
        body: As it came; the answer repeats much of it.
        namespaces: By the name that the model knows a function by, its namespace and own name.
    """

    request: InferenceRequest
    body: ResponsesBody
    namespaces: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def stream(self) -> bool:
        """Whether the answer comes in pieces."""
        return bool(self.body.stream)

    @property
    def offered_tools(self) -> list[dict[str, Any]]:
        """Return the tools that the model hears of, as they came."""
        told = [msgspec.to_builtins(tool) for tool in self.body.tools or [] if not tool.is_search]
        return [{k: v for k, v in tool.items() if k != "tools" or v} for tool in told]

    @property
    def warnings(self) -> list[str]:
        """Return what of the body has no effect, though it is taken."""
        return [
            f"tools[{index}]: {tool.type[:40]} runs on OpenAI's servers and is left out"
            for index, tool in enumerate(self.body.tools or [])
            if tool.is_search
        ]


def parse(body: bytes) -> Call:
    """Return the call that a body makes.

    Raises:
        RequestError: A field is missing, mistyped, out of range or not offered; ``param`` names it.
    """
    asked = wire.decode(body, _body)
    if not asked.model:
        raise InvalidRequest("model is required", param="model")
    name = ModelName.parse(asked.model)
    _refuse_what_is_not_offered(asked)
    turns = list(_turns(asked))
    if not turns:
        raise InvalidRequest("input is required", param="input")
    namespaces: dict[str, tuple[str, str]] = {}
    tools = tuple(_tools(asked.tools or [], "tools", namespaces))
    request = InferenceRequest(
        model=name,
        messages=tuple(turns),
        options=_options(asked),
        keep_alive=parse_keep_alive(asked.keep_alive),
        tools=tools,
        tool_choice=replace(
            _tool_choice(asked.tool_choice, tools),
            is_parallel=asked.parallel_tool_calls is not False,
        ),
        think=_EFFORTS.get((asked.reasoning.effort if asked.reasoning else None) or ""),
        thinks_if_able=True,  # programs that work for people send an effort to every model
        constraint=_constraint(asked.text),
        n_logprobs=n_logprobs(_wants_logprobs(asked), asked.top_logprobs),
        truncates=asked.truncation == "auto",
    )
    return Call(request, asked, namespaces)


def _refuse_what_is_not_offered(asked: ResponsesBody) -> None:
    for param, hint in (
        ("previous_response_id", "responses are not kept: send the whole conversation in 'input'"),
        ("conversation", "conversations are not kept: send all of it in 'input'"),
        ("prompt", "there are no stored prompts: send the text in 'input'"),
        ("background", "leave it out and wait, or stream"),
    ):
        if getattr(asked, param):
            raise Unsupported(f"{param} is not offered", hint=hint, param=param)


def _wants_logprobs(asked: ResponsesBody) -> bool:
    return bool(asked.top_logprobs) or _LOGPROBS in (asked.include or ())


def _options(asked: ResponsesBody) -> Options:
    raw = {option: getattr(asked, name) for name, option in _OPTIONS.items()}
    try:
        return parse_options(raw)
    except InvalidRequest as error:
        if error.param != "num_predict":
            raise
        message = error.message.replace("num_predict", "max_output_tokens")
        raise InvalidRequest(message, hint=error.hint, param="max_output_tokens") from None


def _turns(asked: ResponsesBody) -> Iterator[Message]:
    if asked.instructions:
        yield Message("system", asked.instructions)
    if isinstance(asked.input, str):
        yield Message("user", asked.input)
    elif asked.input:
        yield from _messages(asked.input)


@dataclass(slots=True)
class _Turn:
    """What the assistant did in one turn, gathered from its items."""

    thoughts: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)

    def message(self) -> Iterator[Message]:
        if self.thoughts or self.texts or self.calls:
            yield Message(
                "assistant",
                "\n".join(self.texts),
                thinking="\n".join(self.thoughts),
                tool_calls=tuple(self.calls),
            )


def _messages(items: Iterable[dict[str, Any]]) -> Iterator[Message]:
    """Yield the conversation; items of the assistant that follow each other are one turn."""
    turn = _Turn()
    names: dict[str, str] = {}
    for index, item in enumerate(items):
        where = f"input[{index}]"
        kind = item.get("type", "message")
        role = _role(item, where) if kind == "message" else "assistant"
        if kind == "function_call_output" or role != "assistant":
            yield from turn.message()
            turn = _Turn()
        match kind:
            case "message" if role == "assistant":
                turn.texts.append(_content(item.get("content"), where))
            case "message":
                text, images = laid_out(_parts(item.get("content"), where))
                yield Message(role, text, images=images)
            case "reasoning":
                turn.thoughts.append(_reasoning(item, where))
            case "function_call":
                call = _call(item, where)
                names[call.id] = call.name
                turn.calls.append(call)
            case "function_call_output":
                call_id = _string(item, "call_id", where)
                output, images = laid_out(_parts(item.get("output"), where))
                yield Message(
                    "tool",
                    output,
                    images=images,
                    tool_name=names.get(call_id, ""),
                    tool_call_id=call_id,
                )
            case _:
                raise Unsupported(
                    f"'{where}.type': items of type '{str(kind)[:40]}' are not offered",
                    hint="offered: message, reasoning, function_call, function_call_output",
                    param=f"{where}.type",
                )
    yield from turn.message()


def _role(item: dict[str, Any], where: str) -> str:
    role = _ROLES.get(_string(item, "role", where))
    if role is None:
        raise InvalidRequest(
            f"{where}.role must be one of {', '.join(_ROLES)}", param=f"{where}.role"
        )
    return role


def _string(item: dict[str, Any], key: str, where: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        state = "is required" if value is None else "must be a string"
        raise InvalidRequest(f"'{where}.{key}' {state}", param=f"{where}.{key}")
    return value


def _content(content: Any, where: str) -> str:
    """The text of what is said by the assistant, who shows no images."""
    text, images = laid_out(_parts(content, where))
    if images:
        raise InvalidRequest(f"'{where}.content': the assistant has no images", param=where)
    return text


def _parts(content: Any, where: str) -> list[str | Image]:
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        state = "is required" if content is None else "must be a string or an array"
        raise InvalidRequest(f"'{where}.content' {state}", param=f"{where}.content")
    parts = [_part(part, f"{where}.content[{i}]") for i, part in enumerate(content)]
    n_images = sum(isinstance(part, Image) for part in parts)
    if n_images > MAX_IMAGES:
        param = f"{where}.content"
        raise InvalidRequest(f"{param} has {n_images} images, at most {MAX_IMAGES}", param=param)
    return parts


def _part(part: Any, where: str) -> str | Image:
    if not isinstance(part, dict):
        raise InvalidRequest(f"'{where}' must be an object", param=where)
    kind = _string(part, "type", where)
    if kind in ("input_text", "output_text", "text", "summary_text", "reasoning_text"):
        return _string(part, "text", where)
    if kind == "refusal":
        return _string(part, "refusal", where)
    if kind == "input_image":
        return parse_image_url(part, where)
    raise Unsupported(
        f"'{where}.type': content of type '{kind[:40]}' is not offered",
        hint="send text: input_text, or images: input_image with a data URI",
        param=f"{where}.type",
    )


def _reasoning(item: dict[str, Any], where: str) -> str:
    """What was thought: the text itself where it is there, else its summary."""
    return _content(item.get("content") or item.get("summary") or [], where)


def _call(item: dict[str, Any], where: str) -> ToolCall:
    text, param = _string(item, "arguments", where), f"{where}.arguments"
    try:
        arguments = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise InvalidRequest(f"'{param}' must be the text of a JSON object", param=param)
    name, space = _string(item, "name", where), item.get("namespace")
    if isinstance(space, str) and space:
        name = _full_name(name, space)
    return ToolCall(name, plain(arguments, param), _string(item, "call_id", where))


def _tools(
    tools: list[ToolBody], where: str, namespaces: dict[str, tuple[str, str]], space: str = ""
) -> Iterator[Tool]:
    """Yield the functions that the model may call, and note in ``namespaces`` whose they are."""
    for index, body in enumerate(tools):
        place = f"{where}[{index}]"
        if body.type == "namespace" and not space:
            if not body.name:
                raise InvalidRequest(f"'{place}.name' is required", param=f"{place}.name")
            yield from _tools(body.tools or [], f"{place}.tools", namespaces, body.name)
        elif not body.is_search:
            tool = _tool(body, place)
            if space:
                name = _full_name(tool.name, space)
                namespaces[name] = space, tool.name
                tool = replace(tool, name=name)
            yield tool


def _full_name(name: str, space: str) -> str:
    """The name by which the model knows a function of a namespace."""
    return f"{space}__{name}"


def _tool(tool: ToolBody, where: str) -> Tool:
    if tool.type != "function":
        raise Unsupported(
            f"'{where}.type': the tool '{tool.type[:40]}' runs on OpenAI's servers",
            hint="offer functions of your own",
            param=f"{where}.type",
        )
    if not tool.name:
        raise InvalidRequest(f"'{where}.name' is required", param=f"{where}.name")
    parameters = plain(tool.parameters or {}, f"{where}.parameters")
    return Tool(tool.name, tool.description or "", parameters, tool.strict is not False)


def _tool_choice(choice: str | dict[str, Any] | None, tools: tuple[Tool, ...]) -> ToolChoice:
    if choice in (None, "auto"):
        return ToolChoice()
    if choice == "none":
        return ToolChoice("none")
    name = choice.get("name") if isinstance(choice, dict) else None
    if choice != "required" and not isinstance(name, str):
        raise InvalidRequest(
            "tool_choice must be auto, none, required or a function", param="tool_choice"
        )
    if not tools:
        raise InvalidRequest("tool_choice needs tools", param="tool_choice")
    if name is None:
        return ToolChoice("required")
    if name not in {tool.name for tool in tools}:
        raise InvalidRequest(f"tool_choice: there is no tool '{name[:80]}'", param="tool_choice")
    return ToolChoice("named", name)


def _constraint(text: TextBody | None) -> Constraint | None:
    wanted = (text.format if text else None) or {"type": "text"}
    match wanted.get("type"):
        case "text":
            return None
        case "json_object":
            return Constraint("json")
        case "json_schema":
            schema = wanted.get("schema")
            if not isinstance(schema, dict):
                raise InvalidRequest(
                    "'text.format.schema' must be an object", param="text.format.schema"
                )
            return Constraint("json_schema", msgspec.json.encode(schema).decode())
        case _:
            raise InvalidRequest(
                "text.format.type must be text, json_object or json_schema",
                param="text.format.type",
            )
