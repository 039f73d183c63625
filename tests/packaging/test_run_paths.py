"""A bundle's libraries look for others beside themselves alone, and work as before."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

PACKAGING = Path(__file__).parents[2] / "packaging"
sys.path.insert(0, str(PACKAGING))
import run_paths  # noqa: E402

sys.path.remove(str(PACKAGING))

needs_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not shutil.which("cc"),
    reason="makes a library of Linux with a compiler",
)


def library(folder: Path, *paths: str, tags: str = "--enable-new-dtags") -> Path:
    source, made = folder / "thing.c", folder / "libthing.so"
    source.write_text("#include <math.h>\ndouble thing(double x) { return cos(x); }\n")
    words = [f"-Wl,-rpath,{path}" for path in paths]
    command = ["cc", "-shared", "-fPIC", f"-Wl,{tags}", *words, "-o", made, source, "-lm"]
    subprocess.run(command, check=True)
    return made


@needs_linux
@pytest.mark.parametrize(
    ("paths", "left"),
    [
        (("/builder/lib",), []),
        (("/builder/lib", "$ORIGIN/../lib", "/more"), ["$ORIGIN/../lib"]),
        (("$ORIGIN",), ["$ORIGIN"]),
        ((), []),
    ],
)
@pytest.mark.parametrize("tags", ["--enable-new-dtags", "--disable-new-dtags"])
def test_what_the_builder_had_goes_and_the_library_works(tmp_path, paths, left, tags):
    made = library(tmp_path, *paths, tags=tags)
    before = made.read_bytes()
    assert run_paths.run_paths(before) == ([":".join(paths)] if paths else [])
    changed = run_paths.leave_out_foreign(tmp_path)
    assert changed == (["libthing.so"] if [*paths] != left else [])
    after = made.read_bytes()
    assert run_paths.run_paths(after) == left and len(after) == len(before)
    assert (after == before) == (not changed)
    thing = ctypes.CDLL(str(made)).thing
    thing.argtypes, thing.restype = [ctypes.c_double], ctypes.c_double
    assert thing(0.0) == 1.0
    if shutil.which("readelf"):
        told = subprocess.run(
            ["readelf", "--dynamic", "--wide", made], capture_output=True, text=True, check=True
        )
        assert "libm.so.6" in told.stdout and "/builder" not in told.stdout


def test_what_is_no_library_is_left_alone(tmp_path):
    for name, content in (
        ("a.txt", b"words"),
        ("b", b""),
        ("c.so", b"\x7fELF\x01\x01" + bytes(60)),
    ):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link").symlink_to("nowhere")
    assert run_paths.leave_out_foreign(tmp_path) == []


@given(st.binary(max_size=300))
def test_a_file_that_is_cut_short_is_said_to_be_one(tail):
    content = bytearray(b"\x7fELF\x02\x01" + tail)
    before = bytes(content)
    try:
        changed = run_paths.own_alone(content)
    except ValueError:
        changed = False
    assert changed or content == before
