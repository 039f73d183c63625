"""The official Python clients against the server."""

from __future__ import annotations

import dataclasses

import ollama
import openai
import pytest

from runner.domain.event import TextDelta
from runner.domain.name import ModelName
from runner.errors import DeadlineExceeded, ModelNotFound, PromptTooLong, QueueFull, WorkerError
from tests.fakes.service import FINISHED, HELLO

MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def native(served):
    client = ollama.Client(host=served.url)
    yield client
    client._client.close()


@pytest.fixture
def compatible(served):
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="dummy", max_retries=0) as client:
        yield client


def test_ollama_lists_and_shows_models(native):
    (model,) = native.list().models
    assert model.model == "smollm2:latest"
    assert model.details.parameter_size == "134.52M"
    (running,) = native.ps().models
    assert running.context_length == 4096
    shown = native.show("smollm2")
    assert shown.modelinfo["llama.context_length"] == 8192
    assert shown.capabilities == ["completion"]


def test_ollama_chats_whole_and_in_pieces(native, served):
    whole = native.chat("smollm2", MESSAGES, options={"temperature": 0, "seed": 1})
    assert whole.message.content == "Hello"
    assert whole.done_reason == "stop"
    assert (whole.prompt_eval_count, whole.eval_count) == (11, 3)
    assert whole.load_duration == 250_000_000
    chunks = list(native.chat("smollm2", MESSAGES, stream=True))
    assert "".join(chunk.message.content for chunk in chunks) == "Hello"
    assert [chunk.done for chunk in chunks] == [False, False, True]
    assert served.inference.requests[0].options.seed == 1


def test_ollama_generates_and_takes_the_context_back(native, served):
    first = native.generate("smollm2", "Hi", system="Be brief.")
    assert first.response == "Hello"
    assert list(first.context) == [1, 2, 3]
    chunks = list(native.generate("smollm2", "And?", context=first.context, stream=True))
    assert "".join(chunk.response for chunk in chunks) == "Hello"
    assert served.inference.requests[1].context == (1, 2, 3)


def test_ollama_survives_every_character_that_splits_lines(native, served):
    text = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei\nj"
    served.inference.script = (TextDelta(text), FINISHED)
    chunks = list(native.chat("smollm2", MESSAGES, stream=True))
    assert chunks[0].message.content == text


def test_ollama_moves_models(native, served):
    native.copy("smollm2", "mine")
    assert ModelName.parse("mine") in served.models.library
    native.delete("mine")
    assert ModelName.parse("mine") not in served.models.library
    statuses = [moment.status for moment in native.pull("smollm2", stream=True)]
    assert statuses[0] == "pulling manifest"
    assert statuses[-1] == "success"
    assert native.pull("smollm2").status == "success"


def test_ollama_raises_for_an_unknown_model_and_for_a_failing_stream(native, served):
    with pytest.raises(ollama.ResponseError, match="'nope' not found") as caught:
        native.chat("nope", MESSAGES)
    assert caught.value.status_code == 404
    served.inference.script = (TextDelta("He"), WorkerError("the engine died", hint="ask again"))
    with pytest.raises(ollama.ResponseError, match="the engine died") as caught:
        list(native.chat("smollm2", MESSAGES, stream=True))
    assert caught.value.status_code == -1


def test_ollama_loads_with_an_empty_prompt(native, served):
    assert native.generate("smollm2", keep_alive="1m").done_reason == "load"
    assert served.inference.loads[0][2] == 60.0
    assert native.chat("smollm2", [], keep_alive=0).done_reason == "unload"
    assert served.inference.unloads == [ModelName.parse("smollm2")]


def test_openai_lists_models(compatible):
    assert [model.id for model in compatible.models.list()] == ["smollm2:latest"]
    assert compatible.models.retrieve("smollm2").id == "smollm2:latest"


def test_openai_finds_a_name_with_slashes(compatible, served):
    info = served.models.library[ModelName.parse("smollm2")]
    name = ModelName.parse("hf.co/owner/Some-GGUF:Q4_K_M")
    served.models.library = {name: dataclasses.replace(info, name=name)}
    assert compatible.models.retrieve(str(name)).id == str(name)


def test_openai_chats_whole_and_in_pieces(compatible, served):
    whole = compatible.chat.completions.create(model="smollm2", messages=MESSAGES, max_tokens=5)
    assert whole.choices[0].message.content == "Hello"
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.prompt_tokens_details.cached_tokens == 4
    assert served.inference.requests[0].options.num_predict == 5
    chunks = list(
        compatible.chat.completions.create(
            model="smollm2",
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"top_k": 3, "keep_alive": -1},
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices] == [None, None, None, "stop"]
    assert [c.usage is not None for c in chunks] == [False, False, False, False, True]
    assert chunks[-1].usage.total_tokens == 14
    assert len({(c.id, c.created) for c in chunks}) == 1
    assert served.inference.requests[1].options.top_k == 3


def test_openai_parses_a_stream_with_its_own_helper(compatible):
    with compatible.chat.completions.stream(model="smollm2", messages=MESSAGES) as events:
        final = events.get_final_completion()
    assert final.choices[0].message.content == "Hello"


def test_openai_does_not_ask_again_what_came_too_late(served):
    """Its own client does after a 5xx, and the deadline would pass as often."""
    served.inference.script = (DeadlineExceeded("the deadline passed"),)
    with (
        openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=3) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.chat.completions.create(model="smollm2", messages=MESSAGES)
    assert caught.value.status_code == 504
    assert len(served.inference.requests) == 1


@pytest.mark.parametrize(
    ("error", "raised", "code"),
    [
        (PromptTooLong(9, 4), openai.BadRequestError, "context_length_exceeded"),
        (ModelNotFound("x"), openai.NotFoundError, "model_not_found"),
        (QueueFull("512 requests are waiting"), openai.InternalServerError, "queue_full"),
    ],
)
def test_openai_raises_the_right_exception(compatible, served, error, raised, code):
    served.inference.script = (error,)
    with pytest.raises(raised) as caught:
        compatible.chat.completions.create(model="smollm2", messages=MESSAGES)
    assert caught.value.code == code
    assert caught.value.param == {"queue_full": None, "model_not_found": "model"}.get(
        code, "messages"
    )


def test_openai_raises_in_the_middle_of_a_stream(compatible, served):
    served.inference.script = (HELLO[0], WorkerError("the engine died"))
    chunks = compatible.chat.completions.create(model="smollm2", messages=MESSAGES, stream=True)
    assert [next(chunks).choices[0].delta.content for _ in range(2)] == [None, "Hel"]
    with pytest.raises(openai.APIError, match="the engine died"):
        next(chunks)


def test_openai_reads_a_response_whole_and_in_pieces(compatible, served):
    whole = compatible.responses.create(model="smollm2", input="Hi", max_output_tokens=9)
    assert (whole.output_text, whole.status) == ("Hello", "completed")
    assert (whole.usage.input_tokens, whole.usage.input_tokens_details.cached_tokens) == (11, 4)
    with compatible.responses.stream(model="smollm2", input="Hi") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        assert stream.get_final_response().output_text == "".join(deltas) == "Hello"
    assert served.inference.requests[0].options.num_predict == 9


def test_openai_finds_no_kept_response(compatible):
    with pytest.raises(openai.NotFoundError, match="not kept"):
        compatible.responses.retrieve("resp_1")
    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        compatible.responses.create(model="smollm2", input="Hi", previous_response_id="resp_1")
