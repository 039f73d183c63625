"""Names and addresses of devices, as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from runner.domain.devices import device_address, device_words, is_address
from runner.domain.options import parse_option
from runner.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.5:7000", "10.0.0.5:7000"),
        ("Box.local:7000 ", "box.local:7000"),
        ("box", "box:11435"),
        ("[::1]:7000", "[::1]:7000"),
        ("[FE80::1]", "[fe80::1]:11435"),
    ],
)
def test_an_address_has_one_form(text, address):
    assert device_address(text) == address
    assert device_address(address) == address


@pytest.mark.parametrize(
    "text", ["", ":7000", "a b:1", "a:70000", "a:x", "u@h:1", "h:1/x", "http://h:1", "h:1?x", "é:1"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(InvalidRequest):
        device_address(text)


def test_words_keep_their_order_and_come_once():
    words = device_words(["CUDA1", " 10.0.0.5:7000", "-Vulkan0", "CUDA1"])
    assert words == ("CUDA1", "10.0.0.5:7000", "-Vulkan0")
    assert [is_address(word) for word in words] == [False, True, False]
    assert device_words(["CUDA1, 10.0.0.5:7000", "-Vulkan0,CUDA1"]) == words


@pytest.mark.parametrize(
    "word", ["", "-", "--x", "CUDA 0", "a,,b", "a,", "x" * 80, "-10.0.0.5:1/x"]
)
def test_what_can_be_no_device_is_refused_with_the_fields_name(word):
    with pytest.raises(InvalidRequest) as failed:
        device_words([word])
    assert failed.value.param == "devices"


def test_there_are_not_endlessly_many():
    with pytest.raises(InvalidRequest, match="at most 16"):
        device_words(f"CUDA{i}" for i in range(17))


@given(st.text(max_size=40))
def test_any_text_is_a_device_or_refused(text):
    try:
        words = device_words([text])
    except InvalidRequest:
        return
    assert words
    assert device_words(words) == device_words([",".join(words)]) == words
    assert all(word.isascii() for word in words)


def test_as_an_option_they_are_one_text_or_several():
    assert parse_option("devices", "CUDA0") == ("CUDA0",)
    assert parse_option("devices", ["CUDA0", "-CUDA1"]) == ("CUDA0", "-CUDA1")
    with pytest.raises(InvalidRequest):
        parse_option("devices", 3)
