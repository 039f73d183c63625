"""Devices switched on and off in the setting that names them."""

import pytest
from hypothesis import given, strategies as st

from gui.models.device_switch import is_on, switchable, switched, without
from runner.domain.machine import Device

IDS = ("CUDA0", "CUDA1", "Vulkan0")
words = st.sampled_from([*IDS, *(f"-{one}" for one in IDS), "10.0.0.5:11435", "-Other"])
values = st.lists(words, max_size=4, unique_by=lambda word: word.lstrip("-")).map(",".join)


@pytest.mark.parametrize(
    ("value", "device", "on"),
    [
        ("", "CUDA0", True),
        ("-cuda0", "CUDA0", False),
        ("-CUDA1", "CUDA0", True),
        ("CUDA1", "CUDA0", False),
        (" cuda0 , CUDA1", "CUDA0", True),
        ("10.0.0.5:11435", "CUDA0", True),  # beside those of this machine
    ],
)
def test_the_setting_says_which_are_used(value, device, on):
    assert is_on(value, device) is on


@given(values, st.sampled_from(IDS), st.booleans())
def test_one_device_is_switched_and_the_others_stay_as_they_are(value, device, on):
    before = {one: is_on(value, one) for one in IDS}
    after = switched(value, device, on, IDS)
    assert {one: is_on(after, one) for one in IDS} == before | {device: on}
    assert ("10.0.0.5:11435" in after) == ("10.0.0.5:11435" in value)


def test_off_and_on_again_is_as_it_was():
    assert switched(switched("", "CUDA0", False, IDS), "CUDA0", True, IDS) == ""


@given(values, st.sampled_from([*IDS, "10.0.0.5:11435"]))
def test_a_device_that_an_error_names_is_taken_out_and_no_other(value, device):
    told = f"the device {device} cannot be reached: refused. Is '{device}' there?"
    kept = without(value, told).split(",")
    assert kept == ([word for word in value.split(",") if word != device] or [""])
    assert without(value, "it was lost") == value


def test_neither_the_processor_nor_another_machine_can_be_left_out():
    devices = [
        Device("cpu", "cpu", "A processor", 1, 1),
        Device("CUDA0", "gpu", "A card", 1, 1),
        Device("10.0.0.5:11435", "rpc", "Elsewhere", 1, 1),
    ]
    assert [one.id for one in switchable(devices)] == ["CUDA0"]
