"""Templates rendered as ``transformers`` renders them, byte for byte.

Our own small templates each exercise one thing; the ones of real models are those in llama.cpp's
source, which comes inside llama-cpp-python's source distribution.  ``CORRAL_TEMPLATES`` names their
folder; else uv's cache is looked at, where building the package leaves them.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from runner.domain.chat import Message, Tool, ToolCall
from runner.errors import TemplateFailed
from runner.prompt.template import ChatTemplate
from runner.prompt.turns import think_variables, tool_object, turn_object

#: Read before the tests' own home hides the user's settings.
_GIVEN = os.environ.get("CORRAL_TEMPLATES", "")
_CACHE = Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache" / "uv")
_INSIDE = "sdists-*/pypi/llama-cpp-python/*/*/src/vendor/llama.cpp/models/templates"


def template_files() -> list[Path]:
    folders = [Path(_GIVEN)] if _GIVEN else sorted(_CACHE.glob(_INSIDE))[:1]
    return [path for folder in folders for path in sorted(folder.glob("*.jinja"))]


TOOLS = (
    Tool(
        "weather",
        "The weather of a place: \u00b0C & <wind>",
        {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Gr\u00f6\u00dfe <b> & 'x'"},
                "days": {"type": "integer", "enum": [1, 2]},
            },
            "required": ["city"],
        },
    ),
    Tool("clock", "The time", {"type": "object", "properties": {}}),
)
SYSTEM = Message("system", "Be brief.")
QUESTION = Message("user", "Weather in K\u00f6ln?")
CALL = Message(
    "assistant",
    "",
    thinking="I ask.",
    tool_calls=(ToolCall("weather", {"city": "K\u00f6ln", "days": 2}, "abcdef123"),),
)
RESULT = Message("tool", '{"t": 20}', tool_name="weather", tool_call_id="abcdef123")
ANSWER = Message("assistant", "20 degrees.", thinking="Warm.")
THANKS = Message("user", "Thanks <think>")

#: Messages, tools, and whether to think.
TALKS = {
    "turns": ((QUESTION, ANSWER, THANKS), (), None),
    "system": ((SYSTEM, QUESTION, ANSWER, THANKS), (), None),
    "tools": ((SYSTEM, QUESTION), TOOLS, None),
    "call": ((SYSTEM, QUESTION, CALL, RESULT), TOOLS, None),
    "after a call": ((SYSTEM, QUESTION, CALL, RESULT, ANSWER, THANKS), TOOLS, None),
    "thinking": ((SYSTEM, QUESTION, ANSWER, THANKS), (), True),
    "thinking hard": ((QUESTION, CALL, RESULT), TOOLS, "high"),
    "not thinking": ((SYSTEM, QUESTION, CALL, RESULT), TOOLS, False),
}

OWN = {
    "tojson": "{{ tools | tojson }}|{{ tools | tojson(indent=2) }}|{{ messages | tojson }}",
    "ascii": "{{ messages | tojson(ensure_ascii=true, sort_keys=true, separators=(',', ':')) }}",
    "calls": "{% for m in messages %}{% if 'tool_calls' in m %}{% for c in m.tool_calls %}"
    "{{ c.type }}{{ c.id }}{{ c.function.name }}{% for k, v in c.function.arguments|items %}"
    "{{ k }}={{ v }};{% endfor %}{% endfor %}{% endif %}{% endfor %}",
    "results": "{% for m in messages if m.role == 'tool' %}{{ m.name }}{{ m.tool_call_id }}"
    "{{ m.content }}{% endfor %}",
    "thoughts": "{% for m in messages %}{{ m.reasoning_content or '-' }}"
    "{{ m.thinking is defined }}{% endfor %}{{ enable_thinking }}{{ thinking is defined }}{{ reasoning_effort }}",  # noqa: E501
    "controls": "{% for m in messages %}{% if loop.last %}{% break %}{% endif %}"
    "{% if m.role == 'system' %}{% continue %}{% endif %}{{ loop.index }}{% endfor %}",
    "training": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}\n"
    "{% endfor %}",
    "missing": "{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}{{ nothing }}",
    "space": "  {% for m in messages %}\n    {{ m.content }}  \n  {%- endfor %}\n  {# note #}\nend\n",  # noqa: E501
    "specials": "{{ bos_token }}{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a }}"
    "{{ eos_token }}",
    "clock": "{{ strftime_now('%Y') }}",
}


@pytest.fixture(scope="module")
def render():
    """The library's own rendering."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    utils = pytest.importorskip("transformers.utils.chat_template_utils")

    def rendered(source, messages, tools, think):
        return utils.render_jinja_template(
            [[turn_object(message) for message in messages]],
            tools=[tool_object(tool) for tool in tools] or None,
            chat_template=source,
            add_generation_prompt=True,
            bos_token="<s>",
            eos_token="</s>",
            **think_variables(think),
        )[0][0]

    return rendered


def ours(source, messages, tools, think):
    template = ChatTemplate(source, bos_text="<s>", eos_text="</s>")
    return template.render(messages, tools=tools, think=think)


@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("name", OWN)
def test_our_own_templates_render_the_same(render, name, talk):
    assert ours(OWN[name], *TALKS[talk]) == render(OWN[name], *TALKS[talk])


def test_the_templates_of_real_models_render_the_same(render):
    """Where the library itself fails, ours may do better, but must say so in its own error."""
    files = template_files()
    if not files:
        pytest.skip("llama.cpp's templates are not at hand: name their folder in CORRAL_TEMPLATES")
    n_equal = 0
    for path in files:
        source = path.read_text(encoding="utf-8")
        for talk, (messages, tools, think) in TALKS.items():
            try:
                expected = render(source, messages, tools, think)
            except Exception:
                try:
                    assert ours(source, messages, tools, think)
                except TemplateFailed as error:
                    assert error.message
                continue
            assert ours(source, messages, tools, think) == expected, (path.name, talk)
            n_equal += 1
    assert n_equal > len(files) * len(TALKS) // 2
