"""Documents among the blocks of a turn: text is read, all else refused by name."""

from __future__ import annotations

import json

import pytest

from runner.dialects.anthropic.messages import parse
from runner.errors import RequestError, Unsupported

TEXT = {"type": "text", "media_type": "text/plain", "data": "The grass is green."}


def asked(*blocks, **fields):
    turns = [{"role": "user", "content": list(blocks)}]
    body = {"model": "x", "max_tokens": 9, "messages": turns} | fields
    return parse(json.dumps(body).encode()).request.messages


def test_a_document_is_read_in_its_place_with_what_is_said_of_it():
    document = {"type": "document", "source": TEXT, "title": "Lawn", "context": "A field trip"}
    (turn,) = asked(document, {"type": "text", "text": "Which colour?"})
    assert turn.content == (
        "<document>\n<title>Lawn</title>\n<context>A field trip</context>\n"
        "The grass is green.\n</document>\nWhich colour?"
    )


@pytest.mark.parametrize(
    "content",
    ["The grass\nis green.", [{"type": "text", "text": t} for t in ("The grass", "is green.")]],
)
def test_a_document_may_come_in_blocks(content):
    document = {"type": "document", "source": {"type": "content", "content": content}}
    (turn,) = asked(document)
    assert turn.content == "<document>\nThe grass\nis green.\n</document>"


def test_results_of_tools_may_be_documents_and_search_results():
    found = {
        "type": "search_result",
        "source": "https://example.org",
        "title": "Grass",
        "content": [{"type": "text", "text": "Green."}],
        "citations": {"enabled": False},
    }
    turns = [
        {"role": "user", "content": "?"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {}}],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [found, {"type": "document", "source": TEXT}],
                }
            ],
        },
    ]
    *_, result = asked(messages=turns)
    assert result.content == (
        "<search_result>\n<title>Grass</title>\n<source>https://example.org</source>\nGreen.\n"
        "</search_result>\n<document>\nThe grass is green.\n</document>"
    )


@pytest.mark.parametrize(
    ("source", "param"),
    [
        ({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, "source"),
        ({"type": "url", "url": "https://example.org/a.pdf"}, "source"),
        ({"type": "file", "file_id": "file_1"}, "source"),
        ({"type": "content", "content": [{"type": "image"}]}, "source.content[0]"),
        (TEXT | {"media_type": "text/html"}, "source.media_type"),
        (TEXT | {"data": ""}, "source.data"),
    ],
)
def test_what_is_no_text_is_refused_by_name(source, param):
    with pytest.raises(RequestError) as caught:
        asked({"type": "text", "text": "?"}, {"type": "document", "source": source})
    assert caught.value.param == f"messages[0].content[1].{param}"


def test_citations_are_refused_and_may_be_switched_off():
    block = {"type": "document", "source": TEXT, "citations": {"enabled": True}}
    with pytest.raises(Unsupported, match="citations"):
        asked(block)
    assert asked(block | {"citations": {"enabled": False}})


def test_the_assistant_has_no_documents():
    turns = [{"role": "assistant", "content": [{"type": "document", "source": TEXT}]}]
    with pytest.raises(RequestError, match="has no document blocks"):
        asked(messages=turns)


def test_who_is_asked_for_is_accepted_and_what_runs_elsewhere_refused():
    assert asked({"type": "text", "text": "?"}, metadata={"user_id": "u-1"}, service_tier="auto")
    with pytest.raises(Unsupported) as caught:
        asked({"type": "text", "text": "?"}, mcp_servers=[{"type": "url"}])
    assert caught.value.param == "mcp_servers"
    with pytest.raises(RequestError) as caught:
        asked({"type": "text", "text": "?"}, metadata={"user_id": 7})
    assert caught.value.param == "metadata.user_id"
