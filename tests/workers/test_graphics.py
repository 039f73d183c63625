"""Graphics cards of a machine, and the command that builds the engine for them."""

from __future__ import annotations

import sys
from importlib.metadata import version

import pytest

from runner.workers.graphics import (
    build_command,
    build_needs,
    built,
    install_command,
    unused,
    usable,
    vendors,
)


@pytest.mark.parametrize(
    ("cards", "devices", "left"),
    [
        ((), {"CPU"}, ()),
        (("NVIDIA",), {"CPU"}, ("NVIDIA",)),
        (("NVIDIA",), {"CPU", "CUDA0"}, ()),
        (("NVIDIA", "Intel"), {"CPU", "CUDA0"}, ("Intel",)),
        (("AMD", "Intel"), {"CPU", "Vulkan0"}, ()),
        (("Apple",), {"CPU"}, ("Apple",)),
    ],
)
def test_a_card_is_unused_when_no_device_stands_for_it(cards, devices, left):
    assert unused(cards, devices) == left


def test_cards_are_read_from_the_system(tmp_path):
    for number, vendor in enumerate(["0x10de", "0x1002", "0x1234", "nonsense"]):
        folder = tmp_path / f"card{number}" / "device"
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(f"{vendor}\n")
    found = vendors(tmp_path, "linux")
    assert {"NVIDIA", "AMD"} <= set(found)
    assert "" not in found


def test_what_the_engine_was_built_for_is_seen_by_its_files(tmp_path):
    for name in (
        *("libggml-base.so", "libggml-cpu.so.0", "libggml-cuda.so", "ggml-vulkan.dll"),
        *("libggml-metal.dylib", "libllama.so", "libggml.so"),
    ):
        (tmp_path / name).touch()
    assert built(tmp_path) == {"base", "cuda", "vulkan", "metal"}
    assert built(tmp_path / "missing") == set()
    assert {"cpu", "base"} <= built()


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        ({"cpu"}, ()),
        ({"cpu", "cuda"}, ("NVIDIA",)),
        ({"vulkan"}, ("NVIDIA", "AMD", "Intel")),
        ({"metal"}, ("Apple",)),
    ],
)
def test_cards_are_usable_by_a_build_for_them(kinds, found):
    assert usable(("NVIDIA", "AMD", "Intel", "Apple"), frozenset(kinds)) == found


@pytest.mark.parametrize(("vendor", "flag"), [("NVIDIA", "GGML_CUDA"), ("AMD", "GGML_VULKAN")])
def test_the_command_names_the_build_option(vendor, flag):
    command = build_command(vendor)
    assert f'CMAKE_ARGS="-D{flag}=on -DGGML_RPC=ON"' in command
    assert command == install_command(f"-D{flag}=on")
    assert build_needs(vendor)


def test_the_command_is_for_this_very_python_and_version(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/a b/python")
    command = install_command(system="linux")
    assert "CMAKE_ARGS=\"-DGGML_RPC=ON\" '/a b/python' -m pip install" in command
    assert command.endswith(f"llama-cpp-python=={version('llama-cpp-python')}")
    there = install_command(system="win32")
    assert there.startswith('$env:CMAKE_ARGS="-DGGML_RPC=ON"; & "/a b/python" -m pip install')


def test_where_there_is_no_pip_it_is_made_first(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert " -m ensurepip && CMAKE_ARGS=" in install_command(system="linux")


@pytest.mark.parametrize("vendor", ["NVIDIA", "AMD", "Intel", "Apple"])
def test_a_bundle_cannot_be_built_into_and_says_where_that_goes(monkeypatch, vendor):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert build_command(vendor).startswith("make gpu BACKEND=")
    assert "pip" not in build_command(vendor)
