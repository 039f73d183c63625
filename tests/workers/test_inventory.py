"""A process that says what the engine has, whatever it says instead."""

from __future__ import annotations

import asyncio
import json
import sys

import psutil
import pytest

from runner.errors import WorkerError
from runner.workers.inventory import EngineDevice, take_inventory

DEVICE = {"name": "CPU", "description": "it", "kind": "cpu", "n_total": 5, "n_free": 3}


def run(code, patience_s=30.0):
    return asyncio.run(take_inventory([sys.executable, "-c", code], patience_s))


def test_what_it_says_is_what_there_is():
    told = json.dumps({"build": "llama.cpp 1", "devices": [DEVICE]})
    found = run(f"print({told!r})")
    assert found.build == "llama.cpp 1"
    assert found.devices == (EngineDevice("CPU", "it", "cpu", 5, 3),)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; sys.exit('no libcuda')", "no libcuda"),
        ("import sys; sys.exit(7)", "its process ended with 7"),
        ("print('hello')", "nothing of use"),
        ("print('[]')", "nothing of use"),
        ('print(\'{"build": "x", "devices": [{}]}\')', "nothing of use"),
        ("import os; os.abort()", "its process ended with -6"),
    ],
)
def test_one_that_fails_is_an_error_with_its_last_words(code, reason):
    with pytest.raises(WorkerError, match=r"llama\.cpp does not start") as failed:
        run(code)
    assert reason in failed.value.message
    assert "corral doctor" in failed.value.hint


def test_one_that_says_nothing_is_ended():
    before = set(psutil.Process().children())
    with pytest.raises(WorkerError, match="it said nothing for"):
        run("input_ = __import__('threading').Event().wait()", patience_s=0.3)
    assert set(psutil.Process().children()) <= before


def test_a_command_that_is_not_there_is_an_error():
    with pytest.raises(WorkerError, match=r"llama\.cpp does not start"):
        asyncio.run(take_inventory(["/nowhere/corral"]))
