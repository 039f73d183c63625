"""What a request asks beyond text: what of it is offered, refused, or forced.  Pure."""

from __future__ import annotations

from dataclasses import replace

from runner.domain.chat import Tool
from runner.domain.name import DEFAULT_HOST, ModelName
from runner.domain.request import Constraint, InferenceRequest
from runner.errors import InvalidRequest, Unsupported
from runner.prompt.capabilities import abilities
from runner.prompt.toolcalls.registry import AnswerFormat


def refuse_beyond(request: InferenceRequest, template: str, *, sees: bool = False) -> None:
    """Return if a model with this chat template can do what ``request`` asks of it.

    Args:
        request: What is asked.
        template: The source of its chat template.
        sees: Whether it has a projector, so that it takes images.

    Raises:
        Unsupported: It sees no pictures, or its template takes no tools or knows no thinking.
        InvalidRequest: A tool must be called that is not there.
    """
    choice = request.tool_choice
    if choice.mode in ("required", "named") and not request.tools:
        raise InvalidRequest("tool_choice needs tools", param="tool_choice")
    if choice.mode == "named" and choice.name not in {tool.name for tool in request.tools}:
        raise InvalidRequest(
            f"tool_choice names '{choice.name[:64]}', which is not among the tools",
            param="tool_choice",
        )
    if request.messages is None:
        return
    if not sees and any(turn.images for turn in request.messages):
        raise Unsupported(
            f"{_full(request.model)} does not support vision",
            hint="leave the images out: this model reads text only",
            param="images",
        )
    able = abilities(template)
    if offered_tools(request) and not able.tools:
        raise Unsupported(
            f"{_full(request.model)} does not support tools",
            hint="its chat template has no place for them; corral show tells what a model can do",
            param="tools",
        )
    if request.think and not able.thinking and not request.thinks_if_able:
        raise Unsupported(
            f'"{request.model}" does not support thinking',
            hint="leave 'think' out, or set it to false",
            param="think",
        )


def refuse_gap(request: InferenceRequest, template: str, *, can_infill: bool) -> None:
    """Return if ``request`` has no suffix, or the model can fill in what comes before it.

    It can where its chat template says how, or its vocabulary has the tokens for it.

    Raises:
        Unsupported: It cannot.
    """
    if request.suffix and not can_infill and not abilities(template).insert:
        raise Unsupported(
            f"{_full(request.model)} does not support insert",
            hint="leave 'suffix' out: neither the model's tokens nor its TEMPLATE know of it",
            param="suffix",
        )


def _full(name: ModelName) -> str:
    """The name with all its parts, as Ollama says it in this refusal and clients look for it."""
    host = "registry.ollama.ai" if name.host == DEFAULT_HOST else name.host
    return f"{host}/{name.namespace}/{name.model}:{name.tag}"


def offered_tools(request: InferenceRequest) -> tuple[Tool, ...]:
    """Return what the model hears of and may call."""
    return () if request.tool_choice.mode == "none" else request.tools


def constraint_of(request: InferenceRequest, form: AnswerFormat | None) -> Constraint | None:
    """Return what the answer must look like: a call that is forced, or the request's own form.

    Where the model may think first, either begins after its thoughts.
    """
    choice = request.tool_choice
    if form is not None and form.family and choice.mode in ("required", "named"):
        tools = [t for t in request.tools if choice.mode == "required" or t.name == choice.name]
        thinks = request.think is not False
        # OpenAI: a function that is named is called once.
        several = choice.is_parallel and choice.mode == "required"
        return form.forced_call(tools, several=several, thinks=thinks)
    constraint = request.constraint
    if constraint is None or form is None or constraint.after:
        return constraint
    return replace(constraint, after=form.answer_begin)
