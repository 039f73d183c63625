"""Chat templates: rendered as their makers meant, and kept in the sandbox."""

from datetime import datetime

import jinja2
import pytest
from hypothesis import given, strategies as st
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runner.domain.chat import Message
from runner.errors import TemplateFailed
from runner.gguf.reader import read_header
from runner.hub.packaged import find_starter
from runner.prompt.template import MAX_CHARS, ChatTemplate, plain_prompt

USER = (Message("user", "Hi"),)
TALK = (
    Message("system", "Be brief."),
    Message("user", "Hi"),
    Message("assistant", "Hello!"),
    Message("user", "Bye"),
)

CHATML = """{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
#: The system message moves into the first user turn, as with Llama 2.
FOLDED = """{% if messages[0]['role'] == 'system' %}
{% set loop_messages = messages[1:] %}{% set system = messages[0]['content'] %}
{% else %}
{% set loop_messages = messages %}{% set system = false %}
{% endif %}
{% for message in loop_messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('Roles must alternate user/assistant') }}
    {% endif %}
    {% if loop.index0 == 0 and system is not false %}
        {% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}
    {% else %}
        {% set content = message['content'] %}
    {% endif %}
    {% if message['role'] == 'user' %}
{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
    {%- else %}
{{ ' ' + content.strip() + ' ' + eos_token }}
    {%- endif %}
{% endfor %}"""
#: Headers and a date, as with Llama 3; tools asked for in three ways.
HEADERS = """{{- bos_token }}
{%- if not date is defined %}{%- set date = strftime_now("%Y") %}{%- endif %}
{%- if tools is not none %}{{- 'TOOLS' }}{%- endif %}
{%- if documents %}{{- 'DOCUMENTS' }}{%- endif %}
{{- 'year ' + date + '\\n' }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or 'tool_calls' in message) %}
        {{- '<|' + message.role + '|>' + message.content | trim + '<|eot|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}"""
#: Namespaces, macros, a reversed search for the last question, break: as with thinking models.
CLEVER = """{%- macro turn(role, text) -%}[{{ role }}: {{ text }}]{%- endmacro -%}
{%- set ns = namespace(last=-1) -%}
{%- for message in messages[::-1] -%}
    {%- if message.role == 'user' and not message.content.startswith('<tool') -%}
        {%- set ns.last = messages | length - 1 - loop.index0 -%}{%- break -%}
    {%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
    {%- if message.content is not string -%}{%- continue -%}{%- endif -%}
    {%- if loop.index0 < ns.last and '</think>' in message.content -%}
        {{- turn(message.role, message.content.split('</think>')[-1].lstrip('\\n')) -}}
    {%- else -%}
        {{- turn(message.role, message.content) -}}
    {%- endif -%}
{%- endfor -%}"""
#: The tag that marks words to train on.
TRAINING = """{% for m in messages %}
{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}
{% else %}<{{ m.role }}>{{ m.content }}
{% endif %}{% endfor %}"""


def render(source: str, messages=USER, **specials: str) -> str:
    return ChatTemplate(source, **specials).render(messages)


@pytest.mark.parametrize(
    ("source", "messages", "prompt"),
    [
        (
            CHATML,
            TALK,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
            "<|im_start|>assistant\n",
        ),
        (
            FOLDED,
            TALK,
            "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello! </s><s>[INST] Bye [/INST]",
        ),
        (FOLDED, USER, "<s>[INST] Hi [/INST]"),
        (
            HEADERS,
            (Message("user", "  Hi \n"),),
            f"<s>year {datetime.now():%Y}\n<|user|>Hi<|eot|><|assistant|>",
        ),
        (
            CLEVER,
            (
                Message("user", "1+1?"),
                Message("assistant", "<think>hm</think>\n\n2"),
                Message("user", "sure?"),
                Message("assistant", "<think>yes</think>yes"),
            ),
            "[user: 1+1?][assistant: 2][user: sure?][assistant: <think>yes</think>yes",
        ),
        (TRAINING, TALK[1:], "<user>Hi\nHello!</s><user>Bye\n"),
    ],
    ids=["chatml", "folded system", "folded, none", "headers", "clever", "training"],
)
def test_a_prompt_is_rendered_as_the_model_was_trained(source, messages, prompt):
    assert render(source, messages, bos_text="<s>", eos_text="</s>") == prompt


@given(st.lists(st.builds(Message, st.sampled_from(["user", "assistant"]), st.text()), min_size=1))
def test_what_people_wrote_is_in_the_prompt_unchanged(messages):
    messages.append(Message("user", ""))
    expected = "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in messages)
    assert render(CHATML, messages) == expected + "<|im_start|>assistant\n"


@given(st.text(), st.text())
def test_a_message_is_never_run_as_a_template(before, after):
    content = before + "{{ raise_exception('ran') }}{% for i in x %}" + after
    assert render("{{ messages[0].content }}", [Message("user", content)]) == content


@pytest.mark.parametrize("source", [CHATML, HEADERS, CLEVER])
def test_the_result_is_that_of_the_library_the_templates_were_written_for(source):
    """The environment is built here as ``transformers`` builds it, and rendered in one go."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    expected = environment.from_string(source).render(
        messages=[{"role": m.role, "content": m.content} for m in TALK],
        tools=None,
        documents=None,
        add_generation_prompt=True,
        bos_token="<s>",
        eos_token="</s>",
    )
    assert render(source, TALK, bos_text="<s>", eos_text="</s>") == expected


def test_the_starter_model_s_own_template_makes_chatml():
    path = find_starter()
    if path is None:
        pytest.skip("the starter model is not installed")
    source = read_header(path).metadata["tokenizer.chat_template"]
    assert render(source, USER) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert render(source, TALK).startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>u")


def test_a_template_that_refuses_is_heard():
    with pytest.raises(TemplateFailed, match="Roles must alternate") as caught:
        render(FOLDED, (Message("assistant", "first!"),))
    assert "roles" in caught.value.hint


def test_a_refusal_without_words_still_says_something():
    with pytest.raises(TemplateFailed, match="refuses this conversation"):
        render("{{ raise_exception('') }}")


def test_a_syntax_error_names_its_line():
    with pytest.raises(TemplateFailed, match="line 3: "):
        ChatTemplate("a\nb\n{% if %}")


@pytest.mark.parametrize(
    "source",
    ["{{ 1 / 0 }}", "{{ messages.x.y }}", "{{ nothing() }}", "{{ [] + 1 }}", "{{ 'x' | nope }}"],
)
def test_whatever_a_template_raises_is_its_failure(source):
    with pytest.raises(TemplateFailed, match=r"chat template failed: ."):
        render(source)


@pytest.mark.parametrize("source", ["{{ " + "(" * 3000, "{% if x %}" * 3000, "{{ " + "-" * 9999])
def test_a_source_that_breaks_the_parser_is_the_template_s_failure(source):
    with pytest.raises(TemplateFailed):
        ChatTemplate(source)


def test_endless_recursion_is_the_template_s_failure():
    with pytest.raises(TemplateFailed, match="recursion"):
        render("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}")


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__class__.__base__ }}",
        "{{ raise_exception.__globals__ }}",
        "{{ strftime_now.__globals__['json'] }}",
        "{{ self._TemplateReference__context.environment }}",
        "{{ ''.format.__self__.__class__ }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '{x.__class__}'.format_map({'x': 1}) }}",
        "{{ ''|attr('__class__') }}",
        "{{ (messages | map(attribute='__class__') | list)[0].__name__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'role': 'system'}) }}",
        "{{ messages.clear() }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ lipsum.__globals__ }}",
        "{% include 'x' %}",
        "{% import 'x' as x %}",
        "{% extends 'x' %}",
        "{{ open('/etc/passwd') }}",
        "{{ range(10 ** 9) }}",
    ],
)
def test_there_is_no_way_out_of_the_sandbox(source):
    messages = list(TALK)
    try:
        prompt = render(source, messages)
    except TemplateFailed:
        prompt = ""
    assert "class" not in prompt
    assert "module" not in prompt
    assert "passwd" not in prompt
    assert tuple(messages) == TALK


def test_one_rendering_leaves_nothing_to_the_next():
    template = ChatTemplate(
        "{% set ns = namespace(n=0) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}{{ x }}"
    )
    assert [template.render(USER) for _ in range(3)] == ["1", "1", "1"]


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 10 ** 9 }}",
        "{{ 10 ** 9 * 'a' }}",
        "{{ [1] * 10 ** 9 }}",
        "{{ (('a' * 10000) * 10000) | length }}",
        "{{ 10 ** (10 ** 10) }}",
        "{{ ((((2 ** 64) ** 64) ** 64) ** 64) ** 64 }}",
        "{% set ns = namespace(n=10) %}{% for i in range(60) %}{% set ns.n = ns.n * ns.n %}"
        "{% endfor %}{{ ns.n % 7 }}",
    ],
)
def test_much_is_not_made_out_of_little(source):
    with pytest.raises(TemplateFailed, match="more than"):
        render(source)


def test_a_prompt_over_the_limit_is_refused_with_the_limit():
    source = "{% for i in range(100) %}{{ 'a' * 1000000 }}{% endfor %}"
    with pytest.raises(TemplateFailed, match=str(MAX_CHARS)):
        render(source)


def test_ordinary_arithmetic_works():
    source = "{{ 123456 * 7890123 }} {{ 2 ** 40 }} {{ 1.5 * 4 }} {{ '-' * 5 }} {{ 2 ** -1 }}"
    assert render(source) == f"{123456 * 7890123} {2**40} 6.0 ----- 0.5"


def test_json_is_written_as_models_saw_it():
    source = "{{ {'b': '<é>', 'a': [1, none, true]} | tojson }}"
    assert render(source) == '{"b": "<é>", "a": [1, null, true]}'
    assert render("{{ {'b': 1, 'a': 2} | tojson(indent=2, sort_keys=true) }}") == (
        '{\n  "a": 2,\n  "b": 1\n}'
    )
    assert render("{{ 'é' | tojson(ensure_ascii=true) }}") == '"\\u00e9"'
    assert render("{{ [1, 2] | tojson(separators=(',', ':')) }}") == "[1,2]"
    with pytest.raises(TemplateFailed):
        render("{{ nothing | tojson }}")


def test_dates_are_today_s():
    before = f"{datetime.now():%Y-%m-%d}"
    told = render("{{ strftime_now('%Y-%m-%d') }}")
    assert told in (before, f"{datetime.now():%Y-%m-%d}")  # midnight may be between


def test_blocks_take_their_line_with_them():
    assert render("a\n  {% if true %}\nb\n  {% endif %}\nc\n") == "a\nb\nc"


def test_a_model_without_a_template_reads_the_messages_in_order():
    assert plain_prompt(TALK) == "Be brief.\nHi\nHello!\nBye"


def test_memory_that_runs_out_is_the_caller_s_to_explain(monkeypatch):
    """The limit is set outside, so its error comes through."""

    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(jinja2.Template, "generate", exhausted)
    with pytest.raises(MemoryError):
        render(CHATML)


#: As SmolVLM's template reads turns: lists of parts, and nothing else.
_PARTS = (
    "{% for m in messages %}{{ m['role'] }}:{% for part in m['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% elif part['type'] == 'image' %}<image>"
    "{% endif %}{% endfor %}|{% endfor %}"
)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_template_that_knows_parts_only_gets_the_text_as_one(text):
    turns = [Message("user", text), Message("assistant", "So."), Message("user", text + "?")]
    template = ChatTemplate(_PARTS)
    said = f"user:{text}|assistant:So.|user:{text}?|"
    assert [template.render(turns), template.render(turns)] == [said, said]


def test_a_template_that_leaves_the_question_out_is_left_alone():
    template = ChatTemplate("{{ messages[0].type }}{{ messages | length }}")
    assert template.render([Message("user", "Hi")]) == "1"
