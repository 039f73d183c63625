"""What the log never has, whatever is asked and however it ends: text of prompts and answers."""

from __future__ import annotations

import asyncio
import logging

import pytest

from runner.domain.event import TextDelta
from tests.fakes.service import FINISHED
from tests.server.serving import OWNER, call

SECRET = "xyzzy-the-words-of-a-prompt"
SAID = "plugh-the-words-of-an-answer"
TURN = {"role": "user", "content": SECRET}
BODY = {
    "model": "smollm2",
    "prompt": SECRET,
    "messages": [TURN],
    "input": SECRET,
    "text": SECRET,
    "system": SECRET,
    "query": SECRET,
    "documents": [SECRET],
    "max_tokens": 5,
}
PATHS = [
    "/api/generate",
    "/api/chat",
    "/api/embed",
    "/api/render",
    "/api/tokenize",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/rerank",
    "/v1/responses",
]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"stream": True},
        {"model": "nobody"},
        {"temperature": SECRET, "options": SECRET},
        {"messages": SECRET},
        {"model": {SECRET: 1}},
    ],
    ids=["whole", "streamed", "no model", "bad option", "bad messages", "bad model"],
)
def test_no_words_of_prompts_or_answers_are_logged(house, caplog, change):
    house.inference.script = (TextDelta(SAID), FINISHED)
    caplog.set_level(logging.DEBUG)

    async def story():
        async with house.serve() as session:
            for path in PATHS:
                await call(session, "POST", path, BODY | change, headers=OWNER)

    asyncio.run(story())
    assert "/api/chat" in caplog.text
    assert "xyzzy" not in caplog.text
    assert "plugh" not in caplog.text


def test_an_error_that_nobody_expected_is_logged_without_them(house, caplog):
    house.inference.script = (RuntimeError("a bug"),)
    caplog.set_level(logging.DEBUG)
    assert house.ask("POST", "/api/chat", {"model": "smollm2", "messages": [TURN]}).status == 500
    assert "a bug" in caplog.text
    assert "xyzzy" not in caplog.text
