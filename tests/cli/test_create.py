"""``corral create`` and ``corral modelfile``: what the daemon is asked for, and what is told."""

import json
import os
from pathlib import Path

import pytest

from runner.cli.create import body_of, line_of, read_modelfile
from runner.errors import (
    BadModelFile,
    InvalidRequest,
    ModelNotFound,
    StoreError,
    TemplateFailed,
    UnsupportedArchitecture,
)
from runner.modelfile.parse import parse

CHECKED = {
    "ok": False,
    "findings": [
        {"severity": "error", "line": 2, "message": "unknown parameter 'heat'", "hint": "known"},
        {"severity": "warning", "line": 0, "message": "no system", "hint": ""},
    ],
    "formatted": "",
}


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "work"
    (place / "models").mkdir(parents=True)
    for name in ("a.gguf", "models/b.gguf", "models/c.gguf", "lora.gguf", "note.txt"):
        (place / name).write_text("x")
    return place


def test_everything_a_modelfile_says_is_asked_for(folder):
    text = (
        "FROM smollm2\nADAPTER ./lora.gguf\nDRAFT a.gguf\nPARAMETER stop a\nPARAMETER stop b\n"
        'PARAMETER num_ctx 99\nTEMPLATE """{{ .Prompt }}"""\nSYSTEM hi\nLICENSE MIT\n'
        "MESSAGE user x\nREQUIRES 0.1.0\nMIRROR ms/a/b\n"
    )
    assert body_of(parse(text), folder) == {
        "from": "smollm2",
        "adapter_paths": [str(folder / "lora.gguf")],
        "draft_paths": [str(folder / "a.gguf")],
        "parameters": {"stop": ("a", "b"), "num_ctx": 99},
        "template": "{{ .Prompt }}",
        "system": "hi",
        "license": ["MIT"],
        "messages": [{"role": "user", "content": "x"}],
        "requires": "0.1.0",
        "mirrors": ["ms/a/b"],
    }


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("./a.gguf", ["a.gguf"]),
        ("a.gguf", ["a.gguf"]),
        ("models/", None),
        ("./models", ["models/b.gguf", "models/c.gguf"]),
        (".", ["a.gguf", "lora.gguf"]),
        ("hf.co/a/b", None),
    ],
)
def test_a_path_is_told_from_a_name(folder, said, names):
    body = body_of(parse(f"FROM {said}"), folder)
    if names is None:
        assert body["from"] == said
    else:
        assert body["paths"] == [str(folder / name) for name in names]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("FROM ./none.gguf", r"\(line 1\): there is no file './none.gguf'"),
        ("FROM a\nADAPTER none", r"\(line 2\): there is no file 'none'"),
        ("FROM a\nFROM b", r"\(line 2\): a model is made from one model"),
        ("FROM a\nRENDERER x", r"\(line 2\): RENDERER is not supported"),
    ],
)
def test_what_cannot_be_followed_is_named_with_its_line(folder, text, reason):
    with pytest.raises(InvalidRequest, match=reason):
        body_of(parse(text), folder)


def test_a_folder_gives_nothing_from_outside_of_it(folder, tmp_path):
    (tmp_path / "secret.gguf").write_text("x")
    (folder / "models/link.gguf").symlink_to(tmp_path / "secret.gguf")
    with pytest.raises(InvalidRequest, match=r"insecure path: link\.gguf"):
        body_of(parse("FROM ./models"), folder)
    (folder / "empty").mkdir()
    with pytest.raises(InvalidRequest, match="no model in the folder"):
        body_of(parse("FROM ./empty"), folder)


def test_the_daemon_makes_it(corral, daemon, folder):
    daemon.script.pull = [{"status": "writing manifest"}, {"status": "success"}]
    (folder / "Modelfile").write_text("FROM smollm2\nSYSTEM hi\n")
    done = corral("create", "mine", cwd=folder)
    assert (done.returncode, done.out) == (0, "")
    assert "mine:latest is ready; try: corral run mine:latest" in done.err
    asked = daemon.bodies("/api/create")[0]
    assert (asked["model"], asked["from"], asked["system"]) == ("mine", "smollm2", "hi")
    assert corral("create", "mine", "-f", "-", cwd=folder, stdin="FROM x").returncode == 0
    assert daemon.bodies("/api/create")[1]["from"] == "x"
    assert corral("create", "mine", cwd=folder / "models").returncode == 0
    assert daemon.bodies("/api/create")[2]["paths"][0].endswith("b.gguf")


def test_a_bad_modelfile_is_told_before_the_daemon_is_asked(corral, daemon, folder):
    (folder / "Modelfile").write_text("FROM a\nBAKE it\n")
    done = corral("create", "mine", cwd=folder)
    assert done.returncode == 1
    assert "(line 2): command must be one of" in done.err
    assert not daemon.bodies("/api/create")
    assert "there is no file 'none'" in corral("create", "mine", "-f", "none").err


def test_findings_are_printed_line_by_line(corral, daemon, folder):
    daemon.script.failures["/api/modelfile/check"] = (200, CHECKED)
    (folder / "Modelfile").write_text("FROM a\nPARAMETER heat 1\n")
    done = corral("modelfile", "check", cwd=folder)
    assert done.returncode == 1
    assert done.out == (
        "Modelfile:2: error: unknown parameter 'heat'\n  known\nModelfile: warning: no system\n"
    )
    assert json.loads(corral("modelfile", "check", "--json", cwd=folder).out) == CHECKED
    good = {"ok": True, "findings": [], "formatted": "FROM a\n"}
    daemon.script.failures["/api/modelfile/check"] = (200, good)
    done = corral("modelfile", "check", "Modelfile", cwd=folder)
    assert (done.returncode, done.out, done.err) == (0, "", "Modelfile is good\n")


def test_the_usual_form_is_printed_or_written(corral, folder):
    file = folder / "Modelfile"
    file.write_text("# mine\nfrom  a\nsystem hi")
    usual = '# mine\nFROM a\nSYSTEM """hi"""\n'
    assert corral("modelfile", "format", str(file)).out == usual
    assert corral("modelfile", "format", "--write", str(file)).returncode == 0
    assert file.read_text() == usual


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InvalidRequest("'mine:latest' cannot be made from itself"), 1),
        (ModelNotFound("mine:latest"), 1),
        (BadModelFile("lora.gguf: the adapter is for models of architecture 'qwen2'"), 2),
        (InvalidRequest("lora.gguf is a LoRA adapter"), 2),
        (TemplateFailed("template error: line 1: unclosed action"), 3),
        (UnsupportedArchitecture("no converter for the architecture 'Mamba'"), 1),
        (BadModelFile("the folder has no config.json"), 1),
        (BadModelFile("the adapter's tensor 'x' has shape (4, 64)"), 2),
        (InvalidRequest("pytorch_model.bin is a pickle file, which can run code"), 1),
        (StoreError("the disk is on fire"), 0),
    ],
)
def test_what_the_daemon_refuses_is_found_in_the_file(error, line):
    found = parse("FROM mine\nADAPTER ./folder/lora.gguf\nTEMPLATE {{ .x\n")
    assert line_of(error, found) == line


def test_a_folder_of_safetensors_comes_with_what_lies_beside(folder):
    model = folder / "published"
    (model / "1_Pooling").mkdir(parents=True)
    names = ("model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja")
    for name in (*names, "1_Pooling/config.json", "README.md", "weights.bin"):
        (model / name).write_text("x")
    (asked,) = [body_of(parse("FROM ./published\n"), folder)["paths"]]
    told = {str(path)[len(str(model)) + 1 :] for path in asked}
    assert told == {*names, "1_Pooling/config.json"}


def test_a_modelfile_may_come_out_of_anything_that_can_be_read(tmp_path, monkeypatch):
    """A device, or the pipe of another command; paths start where the user stands then."""
    monkeypatch.chdir(tmp_path)
    assert read_modelfile(os.devnull) == ("", Path.cwd())
    with pytest.raises(InvalidRequest, match="is a folder"):
        read_modelfile(str(tmp_path))
    with pytest.raises(InvalidRequest, match="there is no file"):
        read_modelfile("nowhere")


def test_a_folder_with_neither_modelfile_nor_model_says_what_to_write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRequest, match="no file 'Modelfile' in this folder") as caught:
        read_modelfile(None)
    assert "FROM smollm2" in caught.value.hint
    (tmp_path / "model.GGUF").write_bytes(b"")
    assert read_modelfile(None) == ("FROM .\n", tmp_path)


def test_what_is_too_large_for_a_modelfile_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "model.gguf"
    with path.open("wb") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(InvalidRequest, match="no Modelfile") as caught:
        read_modelfile(str(path))
    assert "FROM" in caught.value.hint
