"""Completions, prefill, counts, images and uploads through the official clients."""

from __future__ import annotations

import hashlib

import anthropic
import ollama
import openai
import pytest

pytestmark = pytest.mark.clients

HI = [{"role": "user", "content": "Say hi."}]
BEGUN = [*HI, {"role": "assistant", "content": "Hello my dear"}]
#: One pixel.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5E"
    "rkJggg=="
)


def test_openai_completes_every_form_of_prompt(standard):
    asked = {"model": "smollm2", "max_tokens": 4, "temperature": 0}
    one = standard.completions.create(prompt="Once upon a", **asked)
    assert one.object == "text_completion"
    assert one.choices[0].finish_reason == "length"
    assert one.usage.completion_tokens == 4
    both = standard.completions.create(prompt=["Once upon a", "A B C"], n=2, echo=True, **asked)
    assert [choice.index for choice in both.choices] == [0, 1, 2, 3]
    assert both.choices[0].text == "Once upon a" + one.choices[0].text
    assert both.choices[3].text.startswith("A B C")
    tokens = standard.completions.create(prompt=[[504, 253], [28]], **asked)
    assert len(tokens.choices) == 2


def test_openai_streams_completions_with_log_probabilities(standard):
    asked = {"model": "smollm2", "prompt": "Once", "max_tokens": 3, "temperature": 0, "logprobs": 2}
    whole = standard.completions.create(**asked).choices[0]
    assert len(whole.logprobs.tokens) == 3
    assert "".join(whole.logprobs.tokens) == whole.text
    pieces = list(
        standard.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    assert "".join(piece.choices[0].text for piece in pieces if piece.choices) == whole.text
    assert pieces[-1].usage.completion_tokens == 3


def test_openai_hears_what_a_completion_cannot_do(standard):
    for fields, param in (({"suffix": "x"}, "suffix"), ({"prompt": [10**6]}, "prompt")):
        with pytest.raises(openai.BadRequestError) as caught:
            standard.completions.create(**{"model": "smollm2", "prompt": "a"} | fields)
        assert caught.value.param == param


def test_every_dialect_goes_on_with_the_assistants_turn(native, standard, claude):
    whole = native.chat("smollm2", BEGUN, options={"temperature": 0, "num_predict": 6})
    said = whole.message.content
    assert said
    assert not said.startswith("Hello")
    chat = standard.chat.completions.create(
        model="smollm2", messages=BEGUN, temperature=0, max_tokens=6
    )
    assert chat.choices[0].message.content == said
    response = standard.responses.create(
        model="smollm2", input=BEGUN, temperature=0, max_output_tokens=6
    )
    assert response.output_text == said
    message = claude.messages.create(
        model="smollm2", messages=BEGUN, max_tokens=6, extra_body={"temperature": 0}
    )
    assert message.content[0].text == said


def test_anthropic_counts_what_it_would_be_charged(claude):
    counted = claude.messages.count_tokens(model="smollm2", messages=HI, system="Be brief.")
    usage = claude.messages.create(
        model="smollm2", messages=HI, system="Be brief.", max_tokens=1
    ).usage
    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


def test_a_text_model_refuses_images_in_every_dialect(native, standard, claude):
    with pytest.raises(ollama.ResponseError, match="does not support vision"):
        native.chat("smollm2", [{"role": "user", "content": "?", "images": [PNG]}])
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    with pytest.raises(openai.BadRequestError, match="does not support vision"):
        standard.chat.completions.create(
            model="smollm2", messages=[{"role": "user", "content": [part]}]
        )
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    with pytest.raises(anthropic.BadRequestError, match="does not support vision"):
        claude.messages.create(
            model="smollm2",
            max_tokens=1,
            messages=[{"role": "user", "content": [{"type": "image", "source": source}]}],
        )


def test_ollama_hears_that_a_model_cannot_insert(native):
    with pytest.raises(ollama.ResponseError, match=r"library/smollm2:latest does not support inse"):
        native.generate("smollm2", "def f(", suffix="return")


def test_ollama_uploads_a_file(native, daemon, tmp_path):
    (tmp_path / "file").write_bytes(b"hello")
    digest = f"sha256:{hashlib.sha256(b'hello').hexdigest()}"
    assert native.create_blob(tmp_path / "file") == digest
    assert daemon.ask("HEAD", f"/api/blobs/{digest}").status == 200
    assert daemon.ask("HEAD", f"/api/blobs/sha256:{'0' * 64}").status == 404


def test_texts_and_tokens_agree_with_the_prompt(daemon):
    rendered = daemon.ask("POST", "/api/render", {"model": "smollm2", "messages": HI}).json
    body = {"model": "smollm2", "text": rendered["prompt"], "parse_special": True}
    assert daemon.ask("POST", "/api/tokenize", body).json["tokens"] == rendered["tokens"]
    body = {"model": "smollm2", "tokens": rendered["tokens"]}
    assert daemon.ask("POST", "/api/detokenize", body).json["text"] == rendered["prompt"]


def test_an_evaluation_hears_how_likely_the_prompt_was(standard, daemon):
    """As lm-eval asks: two endings of one text as tokens, their probabilities and no answer."""
    endings = ["The capital of France is Paris.", "The capital of France is a cat."]
    tokens = [
        daemon.ask("POST", "/api/tokenize", {"model": "smollm2", "text": text}).json["tokens"]
        for text in endings
    ]
    told = standard.completions.create(
        model="smollm2", prompt=tokens, echo=True, logprobs=1, max_tokens=0, temperature=0
    )
    sums = []
    for text, sent, choice in zip(endings, tokens, told.choices, strict=True):
        assert choice.text == text
        logprobs = choice.logprobs
        assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(sent)
        assert "".join(logprobs.tokens) == text
        assert logprobs.token_logprobs[0] is None
        assert all(-40 < each <= 0 for each in logprobs.token_logprobs[1:])
        assert all(len(each) in (1, 2) for each in logprobs.top_logprobs[1:])
        sums.append(sum(logprobs.token_logprobs[1:]))
    assert sums[0] > sums[1]
    stream = standard.completions.create(
        model="smollm2", prompt=endings[0], echo=True, logprobs=1, max_tokens=2, stream=True
    )
    pieces = [piece.choices[0] for piece in stream]
    heard = [token for piece in pieces if piece.logprobs for token in piece.logprobs.tokens]
    assert "".join(heard) == "".join(piece.text for piece in pieces)
    assert len(heard) >= len(tokens[0]) + 1
