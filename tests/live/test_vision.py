"""Images through the official clients and the command, on a model with a projector."""

from __future__ import annotations

import base64
import re
import subprocess

import anthropic
import ollama
import openai
import pytest

from tests.fakes.random_models import random_llama
from tests.fakes.vision import png, random_projector
from tests.real_daemon import command, environment

pytestmark = pytest.mark.live

SEE = "What is this?"
GREEDY = {"temperature": 0, "num_predict": 8}


@pytest.fixture(scope="module")
def seeing(daemon, tmp_path_factory):
    """A daemon with a model that sees, as it is imported from a folder, by the name ``sees``."""
    folder = tmp_path_factory.mktemp("sees")
    random_llama(folder / "sees-F32.gguf")
    random_projector(folder / "mmproj-F32.gguf")
    daemon.take_in(folder, "sees")
    return daemon


@pytest.fixture
def native(seeing):
    client = ollama.Client(host=seeing.url)
    yield client
    client._client.close()


@pytest.fixture
def standard(seeing):
    with openai.OpenAI(base_url=f"{seeing.url}/v1", api_key="any", max_retries=0) as client:
        yield client


def asked(*images: bytes) -> list[dict]:
    return [{"role": "user", "content": SEE, "images": list(images)}]


def test_the_library_says_that_it_sees(native, seeing):
    assert "vision" in native.show("sees").capabilities
    assert "vision" not in native.show("tiny").capabilities
    rows = {row["name"]: row for row in seeing.ask("GET", "/api/tags").json["models"]}
    assert "vision" in rows["sees:latest"]["capabilities"]


def test_every_dialect_shows_the_model_the_same_picture(native, standard, seeing):
    """The picture first, then the text: the same prompt in three dialects, counted alike."""
    picture = png(1)
    data = base64.b64encode(picture).decode()
    said = native.chat("sees", asked(picture), options=GREEDY)
    generated = native.generate("sees", SEE, images=[picture], options=GREEDY)
    url = {"url": f"data:image/png;base64,{data}", "detail": "low"}
    parts = [{"type": "image_url", "image_url": url}, {"type": "text", "text": SEE}]
    chosen = standard.chat.completions.create(
        model="sees",
        messages=[{"role": "user", "content": parts}],
        temperature=0,
        max_tokens=8,
    )
    items = [
        {"type": "input_image", "image_url": url["url"], "detail": "auto"},
        {"type": "input_text", "text": SEE},
    ]
    responded = standard.responses.create(
        model="sees",
        input=[{"role": "user", "content": items}],
        temperature=0,
        max_output_tokens=8,
    )
    source = {"type": "base64", "media_type": "image/png", "data": data}
    blocks = [{"type": "image", "source": source}, {"type": "text", "text": SEE}]
    with anthropic.Anthropic(base_url=seeing.url, api_key="any", max_retries=0) as client:
        told = client.messages.create(
            model="sees",
            messages=[{"role": "user", "content": blocks}],
            extra_body={"temperature": 0},
            max_tokens=8,
        )
        n_counted = client.messages.count_tokens(
            model="sees", messages=[{"role": "user", "content": blocks}]
        ).input_tokens
    texts = {
        said.message.content,
        generated.response,
        chosen.choices[0].message.content,
        responded.output_text,
        told.content[0].text,
    }
    assert len(texts) == 1
    usage = told.usage
    n_told = usage.input_tokens + (usage.cache_read_input_tokens or 0)
    n_prompt = said.prompt_eval_count
    assert {chosen.usage.prompt_tokens, responded.usage.input_tokens, n_told, n_counted} == {
        n_prompt
    }
    assert n_prompt > 16 + len(SEE)
    assert generated.context is None


def test_a_damaged_picture_is_a_400_that_says_which_and_the_model_goes_on(native, standard):
    damaged = png(1)[:60] + bytes(40)
    with pytest.raises(ollama.ResponseError, match="image 2 of 2") as caught:
        native.chat("sees", asked(png(1), damaged), options=GREEDY)
    assert caught.value.status_code == 400
    assert native.chat("sees", asked(png(1)), options=GREEDY).message.content


def test_pictures_elsewhere_are_not_fetched(standard):
    part = {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/cat.png"}}
    with pytest.raises(openai.BadRequestError, match="not currently supported"):
        standard.chat.completions.create(
            model="sees", messages=[{"role": "user", "content": [part]}]
        )


def test_a_model_without_eyes_refuses_pictures_as_ever(native):
    with pytest.raises(ollama.ResponseError, match="does not support vision"):
        native.chat("tiny", asked(png(1)))


def test_a_raw_prompt_takes_no_pictures(native):
    with pytest.raises(ollama.ResponseError, match="'raw' takes no images"):
        native.generate("sees", SEE, images=[png(1)], raw=True)


def test_the_projector_of_another_model_is_refused_with_both_numbers(daemon, tmp_path):
    random_llama(tmp_path / "wrong-F32.gguf")
    random_projector(tmp_path / "mmproj-F32.gguf", n_embd=96)
    daemon.take_in(tmp_path, "wrong")
    reply = daemon.ask("POST", "/api/chat", {"model": "wrong", "messages": [{"role": "user"}]})
    assert reply.status >= 400
    assert "96 numbers" in reply.json["error"]
    assert "have 64" in reply.json["error"]


def test_the_command_shows_files_whose_paths_are_in_the_prompt(seeing, native, tmp_path):
    path = tmp_path / "my cat.png"
    path.write_bytes(png(1))
    env = environment(seeing.home, seeing.address)
    words = ["run", "sees", SEE, f"'{path}'", "--verbose", "-o", "num_predict=8"]
    told = subprocess.run(command(*words), env=env, capture_output=True, stdin=subprocess.DEVNULL)
    said = told.stderr.decode()
    assert told.returncode == 0, said
    assert f"Added image '{path}'" in said
    n_prompt = native.chat("sees", asked(png(1)), options=GREEDY).prompt_eval_count
    assert re.search(rf"prompt eval count: +{n_prompt} token", said), said
    blind = subprocess.run(
        command("run", "tiny", SEE, f"{path}", "-o", "num_predict=8"),
        env=env,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    assert blind.returncode == 0, blind.stderr
    assert b"Added" not in blind.stderr
