"""What placement wants to know of a model comes from its header, with its types checked."""

from __future__ import annotations

import pytest

from runner.domain.placement import Outline
from runner.errors import BadModelFile
from runner.gguf.outline import outline_of
from tests.gguf.test_memory import header_of, keys


def test_the_largest_of_what_layers_differ_in_stands_for_all():
    more = {"attention.head_count_kv": (2, 8, 4, 2), "attention.key_length": 32}
    found = outline_of(header_of(keys("llama", 4, **more)), 1000)
    assert found == Outline(
        n_blocks=4, n_bytes=1000, n_embd=64, n_head=4, n_head_kv=8, head_width=32, n_vocab=100
    )


def test_what_a_file_does_not_say_is_nothing():
    found = outline_of(header_of({"general.architecture": "mamba"}), 0)
    assert found == Outline(0, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("key", "value"), [("block_count", 10**6), ("embedding_length", "wide"), ("block_count", -1)]
)
def test_a_key_that_can_be_none_is_named(key, value):
    with pytest.raises(BadModelFile, match=key):
        outline_of(header_of(keys("llama") | {f"llama.{key}": value}), 0)
