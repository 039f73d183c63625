"""What everybody asks first of the official Python clients of Ollama and OpenAI."""

from __future__ import annotations

import ollama
import openai
import pytest

from tests.real_daemon import wait_for

pytestmark = pytest.mark.clients

HI = [{"role": "user", "content": "Say hi."}]


@pytest.fixture
def copy(daemon):
    daemon.ask("POST", "/api/copy", {"source": "tiny", "destination": "copy"})
    yield "copy"
    daemon.ask("DELETE", "/api/delete", {"model": "copy"})


def test_ollama_chats_whole_and_in_pieces(native):
    options = {"num_predict": 8, "temperature": 0, "seed": 1}
    whole = native.chat("smollm2", HI, options=options)
    assert whole.message.role == "assistant"
    assert whole.message.content
    assert whole.done
    assert 0 < whole.eval_count <= 8
    assert whole.total_duration >= whole.eval_duration > 0
    pieces = list(native.chat("smollm2", HI, options=options, stream=True))
    assert "".join(piece.message.content for piece in pieces) == whole.message.content
    assert [piece.done for piece in pieces].count(True) == 1
    assert pieces[-1].done_reason == whole.done_reason


def test_ollama_generates_and_goes_on_from_its_context(native):
    options = {"num_predict": 6, "temperature": 0}
    first = native.generate("smollm2", "My name is Ann.", options=options)
    assert first.response
    assert first.prompt_eval_count > 0
    assert len(first.context) >= first.prompt_eval_count
    second = native.generate("smollm2", "What is my name?", context=first.context, options=options)
    assert second.prompt_eval_count > len(first.context)
    assert list(second.context)[: len(first.context)] == list(first.context)


def test_ollama_generates_raw_and_in_pieces(native):
    pieces = list(native.generate("tiny", ".", raw=True, stream=True, options={"num_predict": 5}))
    assert "".join(piece.response for piece in pieces) == "abcde"
    assert pieces[-1].done_reason == "length"


def test_a_context_of_tokens_that_do_not_exist_is_refused(native):
    with pytest.raises(ollama.ResponseError) as caught:
        native.generate("tiny", "hi", context=[10**9])
    assert caught.value.status_code == 400
    assert "context" in caught.value.error


def test_ollama_stops_at_stop_strings(native):
    answer = native.generate("tiny", ".", raw=True, options={"stop": ["de"], "num_predict": 20})
    assert answer.response == "abc"
    assert answer.done_reason == "stop"


def test_ollama_lists_shows_copies_and_deletes(native, copy):
    names = [row.model for row in native.list().models]
    assert {"smollm2:latest", "tiny:latest", "copy:latest"} <= set(names)
    shown = native.show("smollm2")
    assert shown.details.family == "llama"
    assert shown.details.quantization_level == "Q4_1"
    assert shown.modelinfo["general.architecture"] == "llama"
    assert "completion" in shown.capabilities
    assert native.delete(copy).status == "success"
    assert "copy:latest" not in [row.model for row in native.list().models]
    with pytest.raises(ollama.ResponseError) as caught:
        native.show(copy)
    assert caught.value.status_code == 404


def test_ollama_sees_what_is_in_memory(native):
    native.chat("tiny", HI, options={"num_predict": 1}, keep_alive="10m")
    row = next(row for row in native.ps().models if row.model == "tiny:latest")
    assert row.size > 0
    assert row.expires_at.tzinfo is not None
    assert row.context_length == 32768


def test_keep_alive_zero_unloads(native, daemon):
    native.generate("tiny", "hi", options={"num_predict": 1}, keep_alive=0)
    wait_for(lambda: not daemon.running("tiny"), "the model to go")
    native.generate("tiny", "", keep_alive=60)  # loads
    assert daemon.running("tiny")
    native.generate("tiny", "", keep_alive=0)  # unloads
    wait_for(lambda: not daemon.running("tiny"), "the model to go")


def test_ollama_pulls_what_is_at_hand(native):
    assert native.pull("smollm2").status == "success"
    steps = list(native.pull("smollm2", stream=True))
    assert steps[0].status == "pulling manifest"
    assert steps[-1].status == "success"


def test_ollama_hears_of_a_missing_model(native):
    with pytest.raises(ollama.ResponseError) as caught:
        native.chat("nobody", HI)
    assert caught.value.status_code == 404
    assert "nobody" in caught.value.error
    with pytest.raises(ollama.ResponseError) as caught:
        list(native.chat("nobody", HI, stream=True))
    assert caught.value.status_code == 404


def test_a_model_that_writes_gives_ollamas_client_vectors_too(native):
    found = native.embed("smollm2", ["hi", "there"], dimensions=8)
    assert [len(vector) for vector in found.embeddings] == [8, 8]
    assert found.prompt_eval_count >= 2
    assert len(native.embeddings("smollm2", "hi").embedding) == 576
    with pytest.raises(ollama.ResponseError, match=r"dimensions must be in \[1, 576\]") as caught:
        native.embed("smollm2", "hi", dimensions=577)
    assert caught.value.status_code == 400


def test_openai_chats_whole_and_in_pieces(standard):
    asked = {"model": "smollm2", "messages": HI, "max_tokens": 8, "temperature": 0, "seed": 1}
    whole = standard.chat.completions.create(**asked)
    assert whole.object == "chat.completion"
    assert whole.choices[0].message.content
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    pieces = list(
        standard.chat.completions.create(
            **asked, stream=True, stream_options={"include_usage": True}
        )
    )
    texts = [piece.choices[0].delta.content or "" for piece in pieces if piece.choices]
    assert "".join(texts) == whole.choices[0].message.content
    assert pieces[-1].usage.completion_tokens == whole.usage.completion_tokens
    reasons = [p.choices[0].finish_reason for p in pieces if p.choices]
    assert [reason for reason in reasons if reason] == [whole.choices[0].finish_reason]


def test_openai_lists_models(standard):
    ids = [model.id for model in standard.models.list()]
    assert "smollm2:latest" in ids
    assert standard.models.retrieve("smollm2").owned_by


def test_openai_hears_errors_as_its_own(standard):
    with pytest.raises(openai.NotFoundError) as missing:
        standard.chat.completions.create(model="nobody", messages=HI)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        standard.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "x" * 70_000}]
        )
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as hot:
        standard.chat.completions.create(model="tiny", messages=HI, temperature=-1)
    assert hot.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as embeddings:
        standard.embeddings.create(model="tiny", input="x" * 70_000)
    assert embeddings.value.param == "input"


def test_openai_gives_each_text_its_vector(standard):
    texts = ["A cat sat on the mat.", "hi"]
    found = standard.embeddings.create(model="smollm2", input=texts)
    (alone,) = standard.embeddings.create(model="smollm2", input=texts[1]).data
    assert [row.index for row in found.data] == [0, 1]
    assert found.usage.prompt_tokens == found.usage.total_tokens > 2
    same = sum(x * y for x, y in zip(found.data[1].embedding, alone.embedding, strict=True))
    assert same > 0.999  # a step of another shape rounds otherwise


def test_openai_leaves_a_stream_early(standard, daemon):
    with standard.chat.completions.create(model="tiny", messages=HI, stream=True) as pieces:
        for piece in pieces:
            if piece.choices and piece.choices[0].delta.content:
                break
    wait_for(lambda: daemon.running("tiny")["n_active"] == 0, "the sequence to be freed", 10)
