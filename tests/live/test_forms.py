"""Structured output, log probabilities and several answers, asked for by the official clients."""

from __future__ import annotations

import json
import math

import ollama
import openai
import pytest

pytestmark = pytest.mark.live

ASK = [{"role": "user", "content": "Ann is 31 years old. Who is she? As JSON."}]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
GREEDY = {"temperature": 0, "num_predict": 60}


@pytest.fixture
def native(daemon):
    client = ollama.Client(host=daemon.url)
    yield client
    client._client.close()


@pytest.fixture
def standard(daemon):
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="any", max_retries=0) as client:
        yield client


def test_ollamas_format_is_followed(native):
    answer = native.chat("smollm2", ASK, format=SCHEMA, options=GREEDY)
    assert json.loads(answer.message.content).keys() == {"name", "age"}
    assert answer.done_reason == "stop"
    pieces = native.generate("smollm2", "Ann is 31.", format="json", options=GREEDY, stream=True)
    text = "".join(piece.response for piece in pieces)
    assert text.startswith("{")


def test_openais_response_format_is_followed(standard):
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}}
    answer = standard.chat.completions.create(
        model="smollm2", messages=ASK, response_format=form, temperature=0, max_tokens=60
    )
    assert json.loads(answer.choices[0].message.content).keys() == {"name", "age"}
    assert answer.choices[0].finish_reason == "stop"
    cut = standard.chat.completions.create(
        model="smollm2", messages=ASK, response_format=form, temperature=0, max_tokens=4
    )
    assert cut.choices[0].finish_reason == "length"


def test_grammars_are_followed(standard, native):
    for extra, words in (
        ({"grammar": 'root ::= "aye" | "nay"'}, {"aye", "nay"}),
        ({"regex": "(aye|nay)"}, {"aye", "nay"}),
        ({"lark": 'start: "aye" | "nay"'}, {"aye", "nay"}),
    ):
        answer = standard.chat.completions.create(
            model="smollm2", messages=ASK, extra_body=extra, temperature=2, max_tokens=20
        )
        assert answer.choices[0].message.content in words


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_a_schema_that_cannot_be_compiled_is_a_400_that_says_where(daemon, path):
    schema = {"type": "object", "properties": {"a": {"not": {"type": "string"}}}}
    form = {"format": schema}
    param = "format.properties.a"
    if path.startswith("/v1"):
        form = {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
        param = "response_format.json_schema.schema.properties.a"
    reply = daemon.ask("POST", path, {"model": "smollm2", "messages": ASK, "stream": True} | form)
    assert reply.status == 400
    assert param in reply.body.decode()
    if path.startswith("/v1"):
        assert reply.json["error"]["param"] == param


def test_openais_log_probabilities_add_up_to_the_text(standard):
    asked = {
        "model": "smollm2", "messages": ASK, "logprobs": True, "top_logprobs": 3,
        "temperature": 0, "max_tokens": 6,
    }  # fmt: skip
    whole = standard.chat.completions.create(**asked).choices[0]
    told = whole.logprobs.content
    assert b"".join(bytes(each.bytes) for each in told).decode() == whole.message.content
    for each in told:
        assert len(each.top_logprobs) == 3
        assert each.logprob == each.top_logprobs[0].logprob
        assert sum(math.exp(top.logprob) for top in each.top_logprobs) <= 1.0001
    chunks = list(standard.chat.completions.create(**asked, stream=True))
    streamed = [
        each.token
        for chunk in chunks
        for choice in chunk.choices
        if choice.logprobs
        for each in choice.logprobs.content
    ]
    assert streamed == [each.token for each in told]


def test_ollamas_log_probabilities_add_up_to_the_text(native):
    asked = {"options": GREEDY | {"num_predict": 6}, "logprobs": True, "top_logprobs": 2}
    whole = native.chat("smollm2", ASK, **asked)
    assert "".join(each.token for each in whole.logprobs) == whole.message.content
    assert all(len(each.top_logprobs) == 2 for each in whole.logprobs)
    pieces = list(native.chat("smollm2", ASK, stream=True, **asked))
    streamed = [each.token for piece in pieces for each in piece.logprobs or ()]
    assert streamed == [each.token for each in whole.logprobs]


def test_n_answers_differ_and_come_in_one_stream(standard):
    asked = {"model": "smollm2", "messages": ASK, "n": 3, "temperature": 1.5, "max_tokens": 12}
    whole = standard.chat.completions.create(**asked)
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in whole.choices}) > 1
    assert 3 < whole.usage.completion_tokens <= 36
    assert whole.usage.prompt_tokens < 100, "the prompt is counted once"
    # Else the three are computed in other steps each time, and rounding is another.
    asked |= {"seed": 4, "extra_body": {"deterministic": True}}
    chunks = standard.chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    )
    texts, reasons = ["", "", ""], []
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            reasons += [choice.finish_reason] if choice.finish_reason else []
        last = chunk
    assert len(reasons) == 3
    assert last.usage.completion_tokens > 3
    seeded = standard.chat.completions.create(**asked)
    assert [choice.message.content for choice in seeded.choices] == texts


def test_banned_strings_never_appear_and_a_bias_is_taken(standard):
    asked = {"model": "smollm2", "messages": ASK, "temperature": 0, "max_tokens": 20}
    plain = standard.chat.completions.create(**asked).choices[0].message.content
    word = plain.split()[1]
    banned = standard.chat.completions.create(**asked, extra_body={"banned_strings": [word]})
    assert word not in banned.choices[0].message.content
    biased = standard.chat.completions.create(**asked, extra_body={"logit_bias": [["Yes", 100]]})
    assert biased.choices[0].message.content.startswith("YesYes")


def test_an_unknown_sampler_is_a_400_that_names_it(daemon):
    body = {"model": "smollm2", "messages": ASK, "options": {"samplers": ["top_k", "magic"]}}
    reply = daemon.ask("POST", "/api/chat", body)
    assert (reply.status, "magic" in reply.json["error"]) == (400, True)
