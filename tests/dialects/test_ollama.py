"""Ollama's requests and answers."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, strategies as st

from runner.client import decode
from runner.dialects import ollama
from runner.domain.chat import Image, Message
from runner.domain.event import (
    Candidate,
    Finished,
    FinishReason,
    TextDelta,
    Timings,
    TokenLogprob,
    Usage,
)
from runner.domain.request import AdapterUse, ToolChoice
from runner.errors import CorralError, InvalidRequest, ModelNotFound

CHAT = {"model": "x", "messages": [{"role": "user", "content": "Hi"}]}
GENERATE = {"model": "x", "prompt": "Hi"}
END = Finished(FinishReason.STOP, Usage(), Timings())

texts = st.text(st.characters(exclude_categories=["Cs"]))
seconds = st.floats(0, 1e6)
finished = st.builds(
    Finished,
    reason=st.sampled_from([FinishReason.STOP, FinishReason.LENGTH]),
    usage=st.builds(Usage, *[st.integers(0, 2**31)] * 3),
    timings=st.builds(Timings, seconds, seconds, seconds, seconds),
    stop=st.none(),
    context=st.lists(st.integers(0, 2**31 - 1), max_size=5).map(tuple),
)


def body(fields, **more):
    return json.dumps(fields | more).encode()


def test_whether_tools_must_be_called_is_said_as_openai_says_it():
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert ollama.parse_chat(body(CHAT, tools=tools)).request.tool_choice == ToolChoice()
    forced = ollama.parse_chat(
        body(CHAT, tools=tools, tool_choice="required", parallel_tool_calls=False)
    )
    assert forced.request.tool_choice == ToolChoice("required", is_parallel=False)
    with pytest.raises(InvalidRequest) as caught:
        ollama.parse_chat(body(CHAT, tool_choice="required"))
    assert caught.value.param == "tool_choice"


def test_a_chat_has_its_turns_with_roles_in_lower_case():
    call = ollama.parse_chat(
        body(CHAT, messages=[{"role": "System", "content": "S"}, {"role": "user", "content": None}])
    )
    assert call.request.messages == (Message("system", "S"), Message("user", ""))
    assert call.stream
    assert not call.is_empty


def test_a_generate_is_a_conversation_unless_it_is_raw():
    call = ollama.parse_generate(body(GENERATE, system="S", context=[1, 2]))
    assert call.request.messages == (Message("system", "S"), Message("user", "Hi"))
    assert call.request.prompt is None
    assert call.request.context == (1, 2)
    assert call.request.wants_context
    raw = ollama.parse_generate(body(GENERATE, raw=True)).request
    assert (raw.messages, raw.prompt, raw.wants_context) == (None, "Hi", False)


@pytest.mark.parametrize("field", [{"system": "S"}, {"template": "T"}, {"context": [1]}])
def test_raw_goes_with_nothing_that_a_template_would_need(field):
    with pytest.raises(InvalidRequest, match="raw mode does not support template, system, or"):
        ollama.parse_generate(body(GENERATE, raw=True, **field))


def test_a_model_goes_by_either_key_and_must_be_there():
    assert ollama.parse_chat(body(CHAT, model=None, name="y")).model == "y"
    with pytest.raises(InvalidRequest, match=r"^model is required$"):
        ollama.parse_chat(body(CHAT, model=""))
    with pytest.raises(ModelNotFound, match=r"^model '' not found$"):
        ollama.parse_generate(body(GENERATE, model=""))


@pytest.mark.parametrize(
    ("value", "kept_s"),
    [(42, 42), (42.5, 42.5), ("42m", 2520), (-1, math.inf), (-3.14, math.inf), ("-1m", math.inf),
     (0, 0), ("0", 0), (None, None)],
)  # fmt: skip
def test_keep_alive_is_seconds_or_a_duration(value, kept_s):
    assert ollama.parse_chat(body(CHAT, keep_alive=value)).request.keep_alive == kept_s


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "Unsupported type: 'bool'"),
        ([], "Unsupported type: 'array'"),
        ("300", 'time: missing unit in duration "300"'),
        ("soon", 'time: invalid duration "soon"'),
        (10**400, "int too large"),
    ],
)
def test_any_other_keep_alive_is_refused(value, message):
    with pytest.raises(InvalidRequest) as caught:
        ollama.parse_chat(body(CHAT, keep_alive=value))
    assert caught.value.message.startswith(message)
    assert caught.value.param == "keep_alive"


@pytest.mark.parametrize("image", [{}, 7, "?", "", "é", "A" * (45 << 20)])
def test_an_image_that_is_none_is_refused_by_its_place(image):
    turn = {"role": "user", "content": "Hi", "images": ["aGk=", image]}
    with pytest.raises(InvalidRequest) as caught:
        ollama.parse_chat(body(CHAT, messages=[turn]))
    assert caught.value.param == "messages[0].images[1]"


def test_images_come_as_bytes():
    turn = {"role": "user", "content": "Hi", "images": ["aGk="]}
    assert ollama.parse_chat(body(CHAT, messages=[turn])).request.messages[0].images == (
        Image(b"hi"),
    )
    call = ollama.parse_generate(body(GENERATE, prompt="", images=["aGk="]))
    assert call.request.messages[-1].images == (Image(b"hi"),)
    assert not call.is_empty


def test_a_suffix_makes_the_prompt_raw():
    request = ollama.parse_generate(body(GENERATE, prompt="def f(", suffix="}")).request
    assert (request.prompt, request.suffix, request.messages) == ("def f(", "}", None)


@pytest.mark.parametrize(
    ("parse", "fields"), [(ollama.parse_chat, CHAT), (ollama.parse_generate, GENERATE)]
)
def test_the_prompt_alone_can_be_asked_for(parse, fields):
    assert parse(body(fields, _debug_render_only=True)).only_renders
    assert not parse(body(fields)).only_renders


def test_the_refusal_has_the_words_that_clients_match_on():
    with pytest.raises(InvalidRequest, match=r'invalid think value: "x"'):
        ollama.parse_chat(body(CHAT, think="x"))
    with pytest.raises(InvalidRequest, match="top_logprobs must be between 0 and 20"):
        ollama.parse_chat(body(CHAT, top_logprobs=21))


@pytest.mark.parametrize(
    ("parse", "fields"), [(ollama.parse_chat, CHAT), (ollama.parse_generate, GENERATE)]
)
def test_nothing_is_dropped_and_nothing_fixed_unless_it_says_so(parse, fields):
    """Absent means no, where Ollama takes it for yes."""
    plain = parse(body(fields)).request
    assert (plain.truncates, plain.shifts, plain.terms.is_deterministic) == (False, False, False)
    asked = parse(body(fields, truncate=True, shift=True, deterministic=True)).request
    assert (asked.truncates, asked.shifts, asked.terms.is_deterministic) == (True, True, True)
    with pytest.raises(InvalidRequest, match="shift"):
        parse(body(fields, shift="yes"))


def test_the_end_tells_what_was_lost_and_keeps_silent_where_nothing_was():
    call = ollama.parse_chat(body(CHAT))
    plain = Finished(FinishReason.STOP, Usage(1, 0, 1), Timings())
    assert (
        not {"shifted_tokens", "dropped_messages"}
        & json.loads(ollama.whole(call, [plain], at_ns=0)).keys()
    )
    lost = replace(plain, n_shifted=7, n_dropped=2)
    told = json.loads(ollama.whole(call, [lost], at_ns=0))
    assert (told["shifted_tokens"], told["dropped_messages"]) == (7, 2)
    _, event = decode.chat_events(told | {"message": {"content": "x"}})
    assert (event.n_shifted, event.n_dropped) == (7, 2)


def test_what_says_no_is_not_refused():
    harmless = {
        "think": False, "tools": [], "truncate": False, "shift": False, "format": "",
        "logprobs": False, "top_logprobs": 0, "images": [], "suffix": "", "template": "",
        "unheard_of": {"a": 1}, "options": None, "stream": None,
    }  # fmt: skip
    assert ollama.parse_chat(body(CHAT, **harmless)).stream
    assert ollama.parse_generate(body(GENERATE, **harmless)).stream


@pytest.mark.parametrize("role", ["", "user<|im_end|>", "a b", "\n", "x" * 40])
def test_a_role_is_a_plain_word(role):
    with pytest.raises(InvalidRequest) as caught:
        ollama.parse_chat(body(CHAT, messages=[{"role": role, "content": "Hi"}]))
    assert caught.value.param == "messages[0].role"


@pytest.mark.parametrize("options", [{"top_k": 10**400}, {"seed": -(10**400)}, {"top_p": 10**400}])
def test_a_number_beyond_all_floats_is_out_of_range(options):
    with pytest.raises(InvalidRequest, match="must be in"):
        ollama.parse_chat(body(CHAT, options=options))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [*ollama.ChatBody.__struct_encode_fields__, *ollama.GenerateBody.__struct_encode_fields__]


@given(st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_hostile_fields_are_read_or_refused(fields):
    for parse, good in ((ollama.parse_chat, CHAT), (ollama.parse_generate, GENERATE)):
        try:
            call = parse(body(good | fields))
        except CorralError as error:
            assert error.message
        else:
            assert call.request.model


def call_of(*, is_chat):
    return ollama.parse_chat(body(CHAT)) if is_chat else ollama.parse_generate(body(GENERATE))


@given(st.booleans(), texts, st.integers(0, 4_000_000_000_000_000_000))
def test_a_token_comes_back_as_it_went(is_chat, text, at_ns):
    encoder = ollama.AnswerEncoder(call_of(is_chat=is_chat), clock=lambda: at_ns)
    line = encoder.encode(TextDelta(text))
    assert len(line.decode().splitlines()) == 1
    told = json.loads(line)
    moment = datetime.fromtimestamp(at_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert told.pop("created_at") == f"{moment}.{at_ns % 10**9:09d}Z"
    shown = {"message": {"role": "assistant", "content": text}} if is_chat else {"response": text}
    assert told == {"model": "x", **shown, "done": False}


@given(st.booleans(), texts, finished)
def test_whole_and_last_chunk_tell_the_same_metrics(is_chat, text, event):
    call = call_of(is_chat=is_chat)
    line = ollama.whole(call, [TextDelta(text), event], at_ns=0)
    decoded = msgspec.json.decode(line, type=ollama.Answer)
    assert (decoded.message.content if is_chat else decoded.response) == text
    assert decoded.eval_count == event.usage.n_generated
    whole = json.loads(line)
    last = json.loads(ollama.AnswerEncoder(call, clock=lambda: 0).encode(event))
    shown = whole.pop("message")["content"] if is_chat else whole.pop("response")
    empty = last.pop("message")["content"] if is_chat else last.pop("response")
    assert (shown, empty) == (text, "")
    assert whole == last
    assert whole["done"] is True
    assert whole["done_reason"] == event.reason.replace("tool_calls", "stop")
    assert whole.get("prompt_eval_count", 0) == event.usage.n_prompt
    assert whole.get("total_duration", 0) == round(event.timings.total_s * 1e9)
    assert tuple(whole.get("context", ())) == event.context
    assert 0 not in [value for key, value in whole.items() if key.endswith(("duration", "count"))]


def test_an_answer_repeats_the_model_as_it_was_asked_for():
    call = ollama.parse_chat(body(CHAT, model="REGISTRY.ollama.ai/library/X"))
    assert b'"model":"REGISTRY.ollama.ai/library/X"' in ollama.resident(call, "load", at_ns=0)


@pytest.mark.parametrize("parse", [ollama.parse_chat, ollama.parse_generate])
def test_a_format_is_a_constraint(parse):
    fields = CHAT if parse is ollama.parse_chat else GENERATE
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    assert parse(body(fields, format="json")).request.constraint.kind == "json"
    constraint = parse(body(fields, format=schema)).request.constraint
    assert (constraint.kind, json.loads(constraint.text)) == ("json_schema", schema)
    assert constraint.text.index('"b"') < constraint.text.index('"a"')
    assert parse(body(fields, grammar="root ::= x")).request.constraint.kind == "gbnf"
    for nothing in ("", None):
        assert parse(body(fields, format=nothing)).request.constraint is None
    for wrong in ("xml", 5, ["json"], True):
        with pytest.raises(InvalidRequest, match=r"^invalid format: .*; expected \"json\" or a"):
            parse(body(fields, format=wrong))
    with pytest.raises(InvalidRequest, match=r"^format and regex exclude each other$"):
        parse(body(fields, format="json", regex="a"))


LOGPROB = TokenLogprob(Candidate(5, b"a", -0.5), (Candidate(5, b"a", -0.5),))


@pytest.mark.parametrize("is_chat", [True, False])
def test_log_probabilities_are_told_in_a_stream_as_in_a_whole_answer(is_chat):
    call = call_of(is_chat=is_chat)
    told = {"token": "a", "logprob": -0.5, "bytes": [97]}
    told |= {"top_logprobs": [dict(told)]}
    line = ollama.AnswerEncoder(call).encode(TextDelta("x", 0, (LOGPROB,)))
    chunk = json.loads(line)
    assert line.endswith(b"}\n")
    assert (chunk["logprobs"], chunk["done"]) == ([told], False)
    plain = TokenLogprob(LOGPROB.drawn)
    events = [TextDelta("x", 0, (LOGPROB, plain)), END]
    whole = json.loads(ollama.whole(call, events, at_ns=0))
    told_plain = {key: value for key, value in told.items() if key != "top_logprobs"}
    assert whole["logprobs"] == [told, told_plain]
    assert "logprobs" not in json.loads(ollama.whole(call, [TextDelta("x"), END], at_ns=0))


def test_likeliest_tokens_are_told_when_log_probabilities_are_wanted():
    assert ollama.parse_chat(body(CHAT, logprobs=True)).request.n_logprobs == 0
    assert ollama.parse_chat(body(CHAT, logprobs=True, top_logprobs=3)).request.n_logprobs == 3
    assert ollama.parse_chat(body(CHAT, top_logprobs=3)).request.n_logprobs is None


def test_adapters_are_named_by_number_and_scale():
    body = {"model": "m", "prompt": "x", "lora": [{"id": 1, "scale": 0.5}, {"id": 0}]}
    call = ollama.parse_generate(json.dumps(body).encode())
    assert call.request.adapters == (AdapterUse(1, 0.5), AdapterUse(0, 1.0))
    assert ollama.parse_generate(b'{"model":"m","prompt":"x"}').request.adapters is None
    assert ollama.parse_chat(b'{"model":"m","messages":[],"lora":[]}').request.adapters == ()


@pytest.mark.parametrize(
    ("lora", "param"),
    [
        ([{"id": 0, "scale": 1000}], "lora[0].scale"),
        ([{"id": 0}, {"id": 0}], "lora[1].id"),
        ([{"id": -1}], "lora[0].id"),
        ([{"scale": 1}], "lora[0].id"),
        ([{"id": "a"}], "lora[0].id"),
    ],
)
def test_a_bad_adapter_is_refused_by_its_place(lora, param):
    body = {"model": "m", "prompt": "x", "lora": lora}
    with pytest.raises(InvalidRequest) as caught:
        ollama.parse_generate(json.dumps(body).encode())
    assert caught.value.param == param


def test_the_end_tells_what_was_guessed():
    call = ollama.parse_chat(body(CHAT))
    plain = Finished(FinishReason.STOP, Usage(1, 0, 9), Timings())
    assert "draft_count" not in json.loads(ollama.whole(call, [plain], at_ns=0))
    guessed = replace(plain, usage=Usage(1, 0, 9, n_drafted=6, n_accepted=4))
    told = json.loads(ollama.whole(call, [guessed], at_ns=0))
    assert (told["draft_count"], told["draft_accepted_count"]) == (6, 4)
    _, event = decode.chat_events(told | {"message": {"content": "x"}})
    assert event.usage == guessed.usage


@pytest.mark.parametrize(
    ("value", "word"), [("auto", "auto"), ("off", "off"), (True, "on"), (False, "off")]
)
def test_guessing_is_asked_for_by_a_word_or_a_switch(value, word):
    options = {"speculate": value, "draft_num_predict": 8}
    asked = ollama.parse_chat(body(CHAT, options=options)).request.options
    assert (asked.speculate, asked.draft_num_predict) == (word, 8)


@pytest.mark.parametrize("value", ["", "fast", 1, ["on"], {"a": 1}])
def test_a_word_for_guessing_that_is_none_is_refused_by_name(value):
    with pytest.raises(InvalidRequest, match="speculate must be auto, on or off") as caught:
        ollama.parse_chat(body(CHAT, options={"speculate": value}))
    assert caught.value.param == "speculate"
