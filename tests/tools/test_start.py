"""How a tool process starts: with little to load, and behind all others."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from runner.workers.tool import _start
from tests.real_daemon import environment

#: What takes longer to load than all else, and quantizing has no use for.
_HEAVY = ("asyncio", "gguf", "jinja2", "llama_cpp.llama", "numpy", "psutil")


def test_quantizing_loads_nothing_that_it_has_no_use_for(tmp_path):
    code = "import runner.tools.__main__, runner.tools.quantize, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=environment(tmp_path, ""),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    loaded = done.stdout.split()
    assert "llama_cpp.llama_cpp" in loaded
    assert not set(_HEAVY) & set(loaded)


def test_the_library_s_own_program_can_still_be_had_by_its_name(tmp_path):
    code = "from runner.engine.llama.binding import llama_cpp; from llama_cpp.llama import Llama"
    subprocess.run([sys.executable, "-c", code], env=environment(tmp_path, ""), check=True)


@pytest.mark.skipif(sys.platform == "win32", reason="classes of priority, not numbers")
def test_a_job_s_process_comes_behind_all_others():
    process = _start([sys.executable, "-c", "input()"])
    try:
        assert psutil.Process(process.pid).nice() >= 10
    finally:
        process.communicate(b"\n")
