"""What a repository's owner wrote about it, from both hubs."""

import pytest
from hypothesis import given, strategies as st

from runner.domain.name import ModelName
from runner.errors import NotOnHub, SourceError
from runner.hub.card import read_card, without_facts
from runner.hub.huggingface import HuggingFace
from runner.hub.modelscope import ModelScope
from tests.fakes.hub import FakeHub

CARD = b"""---
license: mit
tags:
- gguf
---

# Tiny

A model that is small on purpose, for tests.
"""
WEIGHTS = b"GGUF" + b"w" * 200


@pytest.fixture(params=["hf.co", "modelscope.cn"])
def asked(request):
    """A loopback hub, its client, and what its names begin with."""
    with FakeHub() as hub:
        environ = {"HF_ENDPOINT": hub.url, "MODELSCOPE_ENDPOINT": hub.url}
        is_hf = request.param == "hf.co"
        client = HuggingFace(environ) if is_hf else ModelScope(environ=environ)
        yield hub, client, request.param


def test_a_card_is_told_without_the_facts_for_the_hub(asked):
    hub, client, host = asked
    hub.add("own/tiny-GGUF", {"README.md": CARD, "t-Q8_0.gguf": WEIGHTS})
    card = read_card(client, ModelName.parse(f"{host}/own/tiny-GGUF"))
    assert card.name == f"{host}/own/tiny-GGUF"
    assert card.text == "# Tiny\n\nA model that is small on purpose, for tests."
    assert not card.is_cut


def test_a_repository_without_a_card_has_an_empty_one(asked):
    hub, client, host = asked
    hub.add("own/tiny-GGUF", {"t-Q8_0.gguf": WEIGHTS})
    assert read_card(client, ModelName.parse(f"{host}/own/tiny-GGUF")).text == ""


def test_a_long_card_is_cut_and_a_huge_one_is_not_fetched(asked):
    hub, client, host = asked
    hub.add("own/long-GGUF", {"README.md": b"word " * 60_000})
    hub.add("own/huge-GGUF", {"README.md": WEIGHTS}, sizes={"README.md": 3 << 20})
    long = read_card(client, ModelName.parse(f"{host}/own/long-GGUF"))
    assert (len(long.text), long.is_cut) == (200_000, True)
    n_asked = len(hub.requests)
    with pytest.raises(SourceError, match="3 MB, more than 1 MB"):
        read_card(client, ModelName.parse(f"{host}/own/huge-GGUF"))
    assert not any("README" in path for _, _, path, _ in hub.requests[n_asked:])


def test_a_repository_that_is_not_there_is_said_so(asked):
    _, client, host = asked
    with pytest.raises(NotOnHub):
        read_card(client, ModelName.parse(f"{host}/own/none-GGUF"))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("---\na: 1\n---\nText", "Text"),
        ("\ufeff---\r\na: 1\r\n---\r\nText\r\n", "Text"),
        ("---\na: 1\nText", "---\na: 1\nText"),  # the block has no end: it is all text
        ("Text\n---\nmore", "Text\n---\nmore"),
        ("", ""),
        ("---\n---\n", ""),
    ],
)
def test_the_facts_are_the_block_that_a_card_begins_with(text, left):
    assert without_facts(text) == left


@given(st.text(alphabet=st.sampled_from("-\n a:")))
def test_what_is_left_is_an_end_of_the_card(text):
    assert without_facts(text) in text
