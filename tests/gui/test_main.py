"""The app where what it is made of is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gui.__main__ import lacks

ROOT = Path(__file__).parents[2]
WITHOUT_QT = (
    "import sys, runpy; sys.modules['PySide6'] = None; runpy.run_module('gui', run_name='__main__')"
)


def test_without_the_extra_the_app_says_what_to_install():
    command = [sys.executable, "-c", WITHOUT_QT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: the desktop app needs PySide6")
    assert "corral[gui]" in done.stderr and "Traceback" not in done.stderr


def test_a_library_of_the_system_is_named_with_its_packages():
    error = ImportError("libEGL.so.1: cannot open shared object file: No such file or directory")
    assert "libEGL.so.1" in lacks(error) and "libegl1" in lacks(error)


def test_a_fault_of_ours_is_not_explained_away():
    assert lacks(ImportError("cannot import name 'x' from 'gui.app'", name="gui.app")) == ""
    assert lacks(ModuleNotFoundError("No module named 'gui.nothing'", name="gui.nothing")) == ""
