"""What a bundle takes along from its system: nothing that only GTK's look needs, and its papers."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

ROOT = Path(__file__).parents[2]

_spec = importlib.util.spec_from_file_location("taken", ROOT / "packaging" / "taken_along.py")
assert _spec is not None and _spec.loader is not None
taken_along = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(taken_along)

names = st.sampled_from("abcdef")
graphs = st.dictionaries(names, st.lists(st.sampled_from("abcdefg"), max_size=3))


def test_what_others_need_stays():
    needs = {"gtk": ["glib", "cairo"], "cairo": ["png"], "qt": ["glib"], "glib": [], "png": []}
    assert taken_along.only_for("gtk", needs) == {"gtk", "cairo", "png"}
    assert taken_along.only_for("motif", needs) == set()


@given(graphs, names)
def test_what_is_left_lacks_nothing(needs, library):
    gone = taken_along.only_for(library, needs)
    assert (library in gone) <= (library in needs)
    for name, wanted in needs.items():
        if name not in gone:
            assert gone.isdisjoint(wanted)


@pytest.mark.skipif(not shutil.which("cc"), reason="no compiler on this machine")
@pytest.mark.skipif(not shutil.which("readelf"), reason="no readelf on this machine")
def test_the_bridge_to_gtk_goes_with_what_only_it_needs(tmp_path):
    code = tmp_path / "empty.c"
    code.write_text("int nothing;\n")
    for name, needed in (("libglib.so", []), ("libcairo.so", []), ("libQt.so", ["glib"])):
        _link(tmp_path, code, name, needed)
    _link(tmp_path, code, taken_along.GTK, ["glib", "cairo"])
    (tmp_path / "libcairo.so.2").symlink_to("libcairo.so")
    assert taken_along.leave_out_gtk(tmp_path) == ["libcairo.so", taken_along.GTK]
    left = {path.name for path in tmp_path.glob("*.so*")}
    assert left >= {"libglib.so", "libQt.so"} and "libcairo.so" not in left
    assert taken_along.leave_out_gtk(tmp_path) == []


def _link(folder, code, name, needed):
    wanted = [f"-l{one}" for one in needed]
    command = ["cc", "-shared", "-o", folder / name, code, f"-L{folder}", "-Wl,--no-as-needed"]
    subprocess.run([*command, *wanted], check=True)


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="no dpkg on this machine")
def test_the_texts_of_what_is_no_package_of_python_are_copied(tmp_path):
    internal, source = tmp_path / "bundle", tmp_path / "llama.cpp"
    internal.mkdir()
    (source / "licenses").mkdir(parents=True)
    (source / "LICENSE").write_text("MIT")
    (source / "licenses" / "LICENSE-jsonhpp").write_text("MIT, too")
    for name in ("libz.so.1", "libof-nobody.so.9", "libpython3.11.so.1.0"):
        (internal / name).write_bytes(b"")
    texts = tmp_path / "licenses"
    assert taken_along.copy_texts(internal, source, texts) == ["libof-nobody.so.9"]
    assert (texts / "llama.cpp" / "LICENSE").read_text() == "MIT"
    assert (texts / "llama.cpp" / "LICENSE-jsonhpp").is_file()
    assert "zlib" in (texts / "system" / "zlib1g" / "copyright").read_text().lower()
    assert "GNU LESSER GENERAL PUBLIC LICENSE" in (texts / "common" / "LGPL-3").read_text()
    assert "PYTHON SOFTWARE FOUNDATION" in (texts / "python" / "LICENSE.txt").read_text()
    assert "Bootloader" in (texts / "pyinstaller" / "COPYING.txt").read_text()


def test_without_dpkg_nobody_owns_anything(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    assert taken_along.owners({"libz.so.1"}) == {}
    taken_along.tell(["libz.so.1"])
    assert capsys.readouterr().err == "no licence was found for: libz.so.1\n"
