"""``POST /v1/messages`` and ``/v1/messages/count_tokens``: what is asked.

The form is Anthropic's Messages API, version 2023-06-01.  A turn is a list of blocks there; here it
becomes one message or, where it carries results of tools, one for each result and one for the
text.  What the answer looks like is ``answers.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from runner.dialects import wire
from runner.dialects.anthropic.documents import DocumentBlock, SearchResultBlock, text_of
from runner.dialects.fields import MOST_TOKENS, parse_keep_alive
from runner.dialects.images import laid_out, parse_image
from runner.dialects.plain import plain
from runner.domain.chat import Image, Message, Tool, ToolCall
from runner.domain.name import ModelName
from runner.domain.options import Options, parse_options
from runner.domain.request import Constraint, InferenceRequest, Think, ToolChoice
from runner.errors import InvalidRequest, Unsupported


class _Block(msgspec.Struct, tag_field="type"):
    """One block of a turn; ``cache_control`` is accepted and not needed: the cache is automatic."""


class TextBlock(_Block, tag="text"):
    """Text."""

    text: str


class ImageSource(msgspec.Struct):
    """Where an image is; only ``base64`` is taken."""

    type: str
    data: str = ""
    media_type: str = ""


class ImageBlock(_Block, tag="image"):
    """An image."""

    source: ImageSource


class ToolUseBlock(_Block, tag="tool_use"):
    """A call that the model made."""

    id: str
    name: str
    input: dict[str, Any]


class ToolResultBlock(_Block, tag="tool_result"):
    """What came of a call."""

    tool_use_id: str
    content: str | list[TextBlock | ImageBlock | DocumentBlock | SearchResultBlock] | None = None
    is_error: bool | None = None


class ThinkingBlock(_Block, tag="thinking"):
    """What the model thought."""

    thinking: str
    signature: str = ""


class RedactedBlock(_Block, tag="redacted_thinking"):
    """Thoughts that only Anthropic's servers can read; left out."""

    data: str = ""


Block = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ToolUseBlock
    | ToolResultBlock
    | ThinkingBlock
    | RedactedBlock
)


class TurnBody(msgspec.Struct):
    """One turn."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class ToolBody(msgspec.Struct):
    """A tool that the model may call."""

    name: str
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    type: str | None = None
    strict: bool | None = None


class ToolChoiceBody(msgspec.Struct):
    """Whether to call a tool."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingBody(msgspec.Struct):
    """Whether to think first, and for how many tokens at most."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = None


class FormatBody(msgspec.Struct):
    """What the answer must look like."""

    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputBody(msgspec.Struct):
    """``output_config``."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: FormatBody | None = None


class MetadataBody(msgspec.Struct):
    """Whom the caller asks for; who may share what is cached is decided by API keys alone."""

    user_id: str | None = None


class CountBody(msgspec.Struct):
    """What both calls have; fields that are not named here are ignored."""

    model: str | None = None
    messages: list[TurnBody] | None = None
    system: str | list[TextBlock] | None = None
    tools: list[ToolBody] | None = None
    tool_choice: ToolChoiceBody | None = None
    thinking: ThinkingBody | None = None
    output_config: OutputBody | None = None
    output_format: FormatBody | None = None


class MessagesBody(CountBody):
    """``POST /v1/messages``; ``num_ctx`` and ``keep_alive`` are ours."""

    max_tokens: int | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    metadata: MetadataBody | None = None
    service_tier: str | None = None
    container: Any = None
    mcp_servers: list[Any] | None = None
    num_ctx: int | None = None
    keep_alive: Any = None


_messages_body = msgspec.json.Decoder(MessagesBody)
_count_body = msgspec.json.Decoder(CountBody)


@dataclass(frozen=True, slots=True)
class Call:
    """What one call asks for; ``model`` as the caller wrote it."""

    request: InferenceRequest
    model: str
    stream: bool


def parse(body: bytes) -> Call:
    """Return the call that a body of ``/v1/messages`` makes.

    Raises:
        RequestError: A field is missing, mistyped, out of range or not offered; ``param`` names it.
    """
    asked = wire.decode(body, _messages_body)
    if asked.max_tokens is None or asked.max_tokens < 1:
        _name(asked)
        raise InvalidRequest("max_tokens is required and must be positive", param="max_tokens")
    for field in ("container", "mcp_servers"):
        if getattr(asked, field):
            raise Unsupported(
                f"{field} is not offered: it runs on Anthropic's servers",
                hint="offer tools of your own, and send what they find as tool_result",
                param=field,
            )
    request = _request(asked, _options(asked))
    return Call(request, asked.model or "", stream=bool(asked.stream))


def parse_count(body: bytes) -> InferenceRequest:
    """Return the request whose prompt a body of ``count_tokens`` wants counted.

    Raises:
        RequestError: As ``parse``.
    """
    return _request(wire.decode(body, _count_body), Options())


def _request(asked: CountBody, options: Options) -> InferenceRequest:
    name = _name(asked)
    if not asked.messages:
        raise InvalidRequest("messages is required", param="messages")
    tools = tuple(_tool(tool, f"tools[{i}]") for i, tool in enumerate(asked.tools or []))
    return InferenceRequest(
        model=name,
        messages=(*_system(asked.system), *_turns(asked.messages)),
        options=options,
        keep_alive=parse_keep_alive(getattr(asked, "keep_alive", None)),
        tools=tools,
        tool_choice=_tool_choice(asked.tool_choice, tools),
        think=_think(asked),
        n_think_max=_budget(asked),
        thinks_if_able=True,  # its clients ask for thoughts whatever the model is
        constraint=_constraint(asked),
    )


def _name(asked: CountBody) -> ModelName:
    if not asked.model:
        raise InvalidRequest("model is required", param="model")
    return ModelName.parse(asked.model)


def _options(asked: MessagesBody) -> Options:
    raw = {
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "top_k": asked.top_k,
        "stop": asked.stop_sequences,
        "num_predict": asked.max_tokens,
        "num_ctx": asked.num_ctx,
    }
    wire_names = {"num_predict": "max_tokens", "stop": "stop_sequences"}
    try:
        return parse_options(raw)
    except InvalidRequest as error:
        param = wire_names.get(error.param or "")
        if param is None:
            raise
        message = error.message.replace(error.param or "", param)
        raise InvalidRequest(message, hint=error.hint, param=param) from None


def _system(system: str | list[TextBlock] | None) -> Iterator[Message]:
    text = system if isinstance(system, str) else "\n".join(block.text for block in system or [])
    if text:
        yield Message("system", text)


def _turns(turns: list[TurnBody]) -> Iterator[Message]:
    """Yield the conversation, each result of a tool as a message of its own."""
    tool_names: dict[str, str] = {}
    for index, turn in enumerate(turns):
        where = f"messages[{index}]"
        if isinstance(turn.content, str):
            yield Message(turn.role, turn.content)
            continue
        if turn.role == "assistant":
            calls = [block for block in turn.content if isinstance(block, ToolUseBlock)]
            tool_names |= {call.id: call.name for call in calls}
            yield _assistant(turn.content, where)
            continue
        results = [block for block in turn.content if isinstance(block, ToolResultBlock)]
        for result in results:
            yield _result(result, tool_names, where)
        rest = [block for block in turn.content if not isinstance(block, ToolResultBlock)]
        if rest or not results:
            text, images = laid_out(_parts(turn.content, where))
            yield Message(turn.role, text, images=images)


#: What the assistant's own turns are made of.
_OF_ASSISTANTS = TextBlock | ToolUseBlock | ThinkingBlock | RedactedBlock


def _assistant(blocks: list[Block], where: str) -> Message:
    for i, block in enumerate(blocks):
        if not isinstance(block, _OF_ASSISTANTS):
            kind = type(block).__struct_config__.tag
            param = f"{where}.content[{i}]"
            raise InvalidRequest(f"'{param}': the assistant has no {kind} blocks", param=param)
    return Message(
        "assistant",
        _text(blocks, where),
        thinking="".join(b.thinking for b in blocks if isinstance(b, ThinkingBlock)),
        tool_calls=tuple(
            ToolCall(b.name, plain(b.input, f"{where}.content[{i}].input"), b.id)
            for i, b in enumerate(blocks)
            if isinstance(b, ToolUseBlock)
        ),
    )


def _result(block: ToolResultBlock, names: Mapping[str, str], where: str) -> Message:
    if block.tool_use_id not in names:
        raise InvalidRequest(
            f"'{where}': the tool_result '{block.tool_use_id[:80]}' answers no earlier tool_use",
            hint="send the assistant's turn with the tool_use block before it",
            param=where,
        )
    content = block.content or ""
    parts = [content] if isinstance(content, str) else _parts(content, where)
    if block.is_error:
        first = parts.pop(0) if parts and isinstance(parts[0], str) else ""
        parts.insert(0, f"Error: {first}")
    text, images = laid_out(parts)
    return Message(
        "tool",
        text,
        images=images,
        tool_name=names[block.tool_use_id],
        tool_call_id=block.tool_use_id,
    )


def _text(blocks: list[Any], where: str) -> str:
    return laid_out(part for part in _parts(blocks, where) if isinstance(part, str))[0]


def _parts(blocks: list[Any], where: str) -> list[str | Image]:
    """Texts and images of a turn, in order."""
    parts: list[str | Image] = []
    for i, block in enumerate(blocks):
        place = f"{where}.content[{i}]"
        if isinstance(block, TextBlock):
            parts.append(block.text)
        elif isinstance(block, DocumentBlock | SearchResultBlock):
            parts.append(text_of(block, place))
        elif isinstance(block, ImageBlock):
            parts.append(_image(block, place))
    return parts


def _image(block: ImageBlock, where: str) -> Image:
    if block.source.type != "base64":
        raise Unsupported(
            f"'{where}': images of type '{block.source.type[:40]}' are not fetched",
            hint="send the image itself, as base64",
            param=where,
        )
    return parse_image(block.source.data, f"{where}.source.data")


def _tool(tool: ToolBody, where: str) -> Tool:
    if tool.type not in (None, "custom"):
        raise Unsupported(
            f"'{where}.type': the tool '{tool.type[:60]}' runs on Anthropic's servers",
            hint="offer tools of your own: name, description and input_schema",
            param=f"{where}.type",
        )
    if tool.input_schema is None:
        raise InvalidRequest(f"'{where}.input_schema' is required", param=f"{where}.input_schema")
    schema = plain(tool.input_schema, f"{where}.input_schema")
    return Tool(tool.name, tool.description or "", schema, bool(tool.strict))


def _tool_choice(choice: ToolChoiceBody | None, tools: tuple[Tool, ...]) -> ToolChoice:
    if choice is None:
        return ToolChoice()
    is_parallel = choice.disable_parallel_tool_use is not True
    if choice.type == "auto":
        return ToolChoice(is_parallel=is_parallel)
    if choice.type == "none":
        return ToolChoice("none")
    if not tools:
        raise InvalidRequest("tool_choice needs tools", param="tool_choice")
    if choice.type == "any":
        return ToolChoice("required", is_parallel=is_parallel)
    if choice.name not in {tool.name for tool in tools}:
        raise InvalidRequest(
            f"tool_choice.name: there is no tool '{(choice.name or '')[:80]}'",
            hint=f"the tools are: {', '.join(tool.name for tool in tools)[:300]}",
            param="tool_choice.name",
        )
    return ToolChoice("named", choice.name or "", is_parallel=is_parallel)


def _think(asked: CountBody) -> Think:
    effort = asked.output_config.effort if asked.output_config else None
    if asked.thinking is None:
        return None
    if asked.thinking.type == "disabled":
        return False
    if effort is None:
        return True
    return "max" if effort == "xhigh" else effort


def _budget(asked: CountBody) -> int | None:
    """Return how many tokens the thoughts may have.

    Anthropic itself wants 1024 at least, and fewer than ``max_tokens``; small models do with less.
    """
    if asked.thinking is None or asked.thinking.type != "enabled":
        return None
    budget = asked.thinking.budget_tokens
    if budget is None:
        return None
    param = "thinking.budget_tokens"
    if budget < 1:
        raise InvalidRequest(f"{param} must be at least 1, not {budget}", param=param)
    return min(budget, MOST_TOKENS)


def _constraint(asked: CountBody) -> Constraint | None:
    wanted = asked.output_format or (asked.output_config.format if asked.output_config else None)
    if wanted is None:
        return None
    return Constraint("json_schema", msgspec.json.encode(wanted.schema).decode())
