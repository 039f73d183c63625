"""Turns made of parts: texts as lines, and pictures at their places."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given, strategies as st

from runner.dialects.anthropic import messages as anthropic
from runner.dialects.images import laid_out
from runner.dialects.openai import chat, responses
from runner.domain.chat import Image
from runner.errors import CorralError

DATA = base64.b64encode(b"cat").decode()
PARTS = st.lists(st.text("ab\n", max_size=4) | st.just(Image(b"x")), max_size=8)


@given(PARTS)
def test_texts_are_lines_and_pictures_stand_between_them(parts):
    text, images = laid_out(parts)
    assert len(images) == sum(isinstance(part, Image) for part in parts)
    if not images:
        assert text == "\n".join(parts)
    at = 0
    pieces = []
    for image in images:
        pieces.append(text[at : image.at])
        at = image.at
    pieces.append(text[at:])
    runs = [[]]
    for part in parts:
        if isinstance(part, Image):
            runs.append([])
        else:
            runs[-1].append(part)
    assert pieces == ["\n".join(run) for run in runs]


def turn_of_chat(*parts):
    body = {"model": "m", "messages": [{"role": "user", "content": list(parts)}]}
    return chat.parse(msgspec.json.encode(body)).request.messages[-1]


def turn_of_responses(*parts):
    body = {"model": "m", "input": [{"role": "user", "content": list(parts)}]}
    return responses.parse(msgspec.json.encode(body)).request.messages[-1]


def turn_of_anthropic(*parts):
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": list(parts)}]}
    return anthropic.parse(msgspec.json.encode(body)).request.messages[-1]


URL = f"data:image/png;base64,{DATA}"
TURNS = {
    "chat": (
        turn_of_chat,
        {"type": "image_url", "image_url": {"url": URL, "detail": "high"}},
        "text",
    ),
    "responses": (
        turn_of_responses,
        {"type": "input_image", "image_url": URL, "detail": "auto"},
        "input_text",
    ),
    "anthropic": (
        turn_of_anthropic,
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
        "text",
    ),
}


@pytest.mark.parametrize("dialect", TURNS)
def test_a_picture_stands_where_its_part_does(dialect):
    parse, image, kind = TURNS[dialect]
    texts = [{"type": kind, "text": text} for text in ("one", "two", "three")]
    turn = parse(texts[0], texts[1], image, texts[2], image)
    assert turn.content == "one\ntwothree"
    assert turn.images == (Image(b"cat", 7), Image(b"cat", 12))


@pytest.mark.parametrize("dialect", TURNS)
def test_a_picture_that_is_no_base64_is_refused_by_its_place(dialect):
    parse, image, kind = TURNS[dialect]
    broken = msgspec.json.decode(msgspec.json.encode(image).replace(DATA.encode(), b"%%"))
    with pytest.raises(CorralError) as caught:
        parse({"type": kind, "text": "x"}, broken)
    assert "content[1]" in caught.value.param


@pytest.mark.parametrize("dialect", ["chat", "responses"])
@pytest.mark.parametrize("url", ["http://127.0.0.1/a.png", "https://x.org/a.png", "file:///a.png"])
def test_a_picture_elsewhere_is_not_fetched(dialect, url):
    parse, image, _ = TURNS[dialect]
    elsewhere = msgspec.json.decode(msgspec.json.encode(image).replace(URL.encode(), url.encode()))
    with pytest.raises(CorralError, match="not currently supported") as caught:
        parse(elsewhere)
    assert "nothing is fetched" in caught.value.hint


def test_an_answer_of_the_assistant_shows_no_pictures():
    item = {"role": "assistant", "content": [{"type": "input_image", "image_url": URL}]}
    with pytest.raises(CorralError, match="assistant has no images"):
        responses.parse(msgspec.json.encode({"model": "m", "input": [item]}))
