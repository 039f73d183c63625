"""Models of one's own on the real daemon: made, shown, made again, spoken with."""

from __future__ import annotations

import hashlib
import subprocess

import ollama
import pytest

from tests.fakes.wide_models import wide_llama
from tests.real_daemon import command

pytestmark = pytest.mark.live


def corral(daemon, *words, **more):
    environ = {**daemon.env, "CORRAL_HOST": daemon.address}
    return subprocess.run(
        command(*words), env=environ, capture_output=True, text=True, timeout=60, **more
    )


def test_a_file_becomes_a_model_and_its_modelfile_makes_it_again(own_daemon, tiny, tmp_path):
    digest = hashlib.sha256(tiny.read_bytes()).hexdigest()
    (tmp_path / "Modelfile").write_text(
        f"FROM {tiny}\nPARAMETER num_predict 3\nPARAMETER temperature 0\n"
        'SYSTEM """Say "hi"."""\nMESSAGE user a\nMESSAGE assistant b\nLICENSE MIT\n'
        f'SHA256 {digest}\nTEMPLATE """{{{{ range .Messages }}}}{{{{ .Content }}}};{{{{ end }}}}"""'
    )
    done = corral(own_daemon, "create", "mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    blobs = own_daemon.home / "models" / "blobs"
    assert [path.name for path in blobs.iterdir()] == [f"sha256-{digest}"]  # shared with ``tiny``
    text = corral(own_daemon, "show", "mine", "--modelfile").stdout
    assert str(tiny.parent) not in text
    assert str(own_daemon.home) not in text
    done = corral(own_daemon, "create", "again", "-f", "-", input=text)
    assert done.returncode == 0, done.stderr
    tags = own_daemon.ask("GET", "/api/tags").json["models"]
    digests = {row["name"]: row["digest"] for row in tags}
    assert digests["mine:latest"] == digests["again:latest"] != digests["tiny:latest"]
    assert corral(own_daemon, "show", "again", "--modelfile").stdout == text.replace(
        "FROM mine:latest", "FROM again:latest"
    )
    done = corral(own_daemon, "run", "mine", "x")
    assert (done.returncode, len(done.stdout.strip())) == (0, 3)


@pytest.fixture
def client(own_daemon):
    client = ollama.Client(own_daemon.url)
    yield client
    client._client.close()


def test_the_official_client_makes_a_model(client):
    statuses = [
        step.status
        for step in client.create(
            "child", from_="tiny", system="S", parameters={"num_ctx": 64}, stream=True
        )
    ]
    assert statuses[-1] == "success"
    shown = client.show("child")
    assert "num_ctx" in shown.parameters
    with pytest.raises(ollama.ResponseError) as caught:
        client.create("bad", from_="tiny", template="{{ if .Prompt }}")
    assert (caught.value.status_code, "unexpected EOF" in caught.value.error) == (400, True)
    with pytest.raises(ollama.ResponseError) as caught:
        client.create("bad", from_="nowhere/to/be/found/at/all")
    assert caught.value.status_code == 400


def test_the_official_client_makes_a_model_in_another_type(own_daemon, client, tmp_path):
    own_daemon.take_in(wide_llama(tmp_path / "wide.gguf"), "wide:f16")
    steps = list(client.create("small", from_="wide:f16", quantize="q4_K_M", stream=True))
    statuses = list(dict.fromkeys(step.status for step in steps))
    assert statuses[:3] == [
        "gathering model components",
        "quantizing F16 model to Q4_K_M",
        "verifying conversion",
    ]
    assert statuses[-2:] == ["writing manifest", "success"]
    counted = [step for step in steps if step.status.startswith("quantizing")]
    assert counted[-1].completed == counted[-1].total > 0
    assert client.show("small").details.quantization_level == "Q4_K_M"
    with pytest.raises(ollama.ResponseError, match=r"'token_embd\.weight' is in Q4_K") as caught:
        client.create("twice", from_="small", quantize="Q4_0")
    assert caught.value.status_code == 400


def test_a_modelfile_is_checked_from_the_command_line(own_daemon, tmp_path):
    file = tmp_path / "Modelfile"
    file.write_text('FROM x\n\nTEMPLATE """{{ .Prompt }}\n{{ end }}"""\nBAKE it\n')
    done = corral(own_daemon, "modelfile", "check", str(file))
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        1,
        f"{file}:5: error: command must be one of "
        '"from", "license", "template", "system", "adapter", "draft", "renderer", "parser", '
        '"parameter", "message", or "requires"',
    )
    file.write_text('FROM x\n\nTEMPLATE """{{ .Prompt }}\n{{ end }}"""\n')
    done = corral(own_daemon, "modelfile", "check", str(file))
    assert f"{file}:3: error: template error: line 2: unexpected {{{{end}}}}" in done.stdout
