"""Pulls by the real daemon, with the hubs' real clients, from a hub on loopback.

``CORRAL_SOAK=1`` kills the daemon a hundred times.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
from pathlib import Path

import gguf
import pytest

from runner.domain.name import ModelName
from runner.store.library import Library
from tests.fakes.file_server import Fault, FileServer
from tests.fakes.hub import TOKEN, FakeHub
from tests.fakes.models import tiny_model
from tests.live.talk import answers_well
from tests.real_daemon import RealDaemon, command, wait_for

pytestmark = pytest.mark.live

MIB = 1 << 20
N_KILLS = 100 if os.environ.get("CORRAL_SOAK") else 4
#: What a kill may cost, by the promise in ``docs/architecture.md``.
MOST_TWICE = 16 * MIB


@pytest.fixture
def hub():
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def small(tmp_path):
    return tiny_model(tmp_path / "small.gguf").read_bytes()


@pytest.fixture
def large(small):
    """The same model with bytes after its last tensor, which nobody reads."""
    return small + random.Random(7).randbytes(70 * MIB)


def daemon_at(home: Path, hub: FakeHub, **env: str) -> RealDaemon:
    return RealDaemon(home, **hub.environ(**env))


def pull(daemon: RealDaemon, name: str) -> list[dict]:
    reply = daemon.ask("POST", "/api/pull", {"model": name})
    assert reply.status == 200, reply.body
    return reply.lines


def sound(home: Path, name: str) -> Library:
    """The library of a daemon that may run, once all of ``name`` was read and compared."""
    library = Library(home / "models")
    assert library.broken() == []
    assert [*library.verify(ModelName.parse(name))]
    return library


@pytest.mark.parametrize("host", ["hf.co", "modelscope.cn"])
def test_a_model_comes_from_either_hub_and_answers(tmp_path, hub, small, host):
    """What the manifest says of its origin names hub, repository, revision, file and licence."""
    hub.add("owner/Tiny-GGUF", {"tiny-Q8_0.gguf": small}, license="mit")
    name = f"{host}/owner/Tiny-GGUF:Q8_0"
    with daemon_at(tmp_path / "home", hub) as daemon:
        lines = pull(daemon, name)
        assert lines[0]["status"] == "pulling manifest"
        assert lines[-1]["status"] == "success"
        answers_well(daemon, name)
    told = sound(tmp_path / "home", name).find(ModelName.parse(name)).provenance
    (file,) = told["files"]
    assert file["source"] == f"hub:{host}"
    assert file["repository"] == "owner/Tiny-GGUF"
    assert file["file"] == "tiny-Q8_0.gguf"
    assert file["license"] == "mit"
    assert file["digest"] == f"sha256:{hashlib.sha256(small).hexdigest()}"
    assert file["n_bytes"] == len(small)
    assert file["revision"]
    assert told["time"]


def test_a_gated_model_needs_a_token_which_goes_to_the_hub_alone(tmp_path, hub, small):
    hub.add("owner/Gated-GGUF", {"gated-Q8_0.gguf": small}, gated=True)
    name = "hf.co/owner/Gated-GGUF:Q8_0"
    with daemon_at(tmp_path / "one", hub) as daemon:
        error = pull(daemon, name)[-1]["error"]
        assert "owner/Gated-GGUF" in json.dumps(error)
    with daemon_at(tmp_path / "two", hub, HF_TOKEN=TOKEN) as daemon:
        assert pull(daemon, name)[-1]["status"] == "success"
        assert TOKEN not in daemon.log
    sound(tmp_path / "two", name)
    assert any(TOKEN in h.get("authorization", "") for h in hub.headers_seen_by("hub"))
    assert hub.headers_seen_by("cdn")
    assert all("authorization" not in h for h in hub.headers_seen_by("cdn"))
    for path in (tmp_path / "two").rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def test_a_model_in_several_files_is_one_model(tmp_path, hub, small):
    """It is pulled, listed and answers as the same model in one file does."""
    parts = split(tmp_path / "small.gguf", tmp_path)
    files = {f"tiny-Q8_0-0000{n}-of-0000{len(parts)}.gguf": part for n, part in enumerate(parts, 1)}
    hub.add("owner/Split-GGUF", files)
    hub.add("owner/Whole-GGUF", {"tiny-Q8_0.gguf": small})
    answers = []
    with daemon_at(tmp_path / "home", hub) as daemon:
        for repo in ("Split", "Whole"):
            name = f"hf.co/owner/{repo}-GGUF:Q8_0"
            lines = pull(daemon, name)
            assert lines[-1]["status"] == "success", lines
            asked = {"model": name, "prompt": "a", "raw": True, "stream": False}
            reply = daemon.ask("POST", "/api/generate", asked | {"options": {"num_predict": 9}})
            answers.append(reply.json["response"])
            assert daemon.ask("POST", "/api/show", {"model": name}).status == 200
        shown = {row["name"]: row for row in daemon.ask("GET", "/api/tags").json["models"]}
    assert answers[0] == answers[1] != ""
    split_row = shown["hf.co/owner/Split-GGUF:Q8_0"]
    assert split_row["size"] == sum(map(len, parts))
    assert split_row["details"] == shown["hf.co/owner/Whole-GGUF:Q8_0"]["details"]
    library = sound(tmp_path / "home", "hf.co/owner/Split-GGUF:Q8_0")
    layers = library.find(ModelName.parse("hf.co/owner/Split-GGUF:Q8_0")).layers
    assert [layer.kind for layer in layers] == ["model", *["shard"] * (len(parts) - 1)]


def test_what_lies_beside_a_model_comes_along_as_far_as_it_is_good(tmp_path, hub, small):
    """The files of Ollama's bridge, its template in Go's language among them."""
    params = b'{"temperature": 0.3, "top_k": "many", "stop": ["###"]}'
    beside = {"template": b"{{ .System }}|{{ .Prompt }}|", "system": b"Be brief.", "params": params}
    hub.add("owner/Beside-GGUF", {"m-Q8_0.gguf": small, **beside})
    bad = {"template": b"{{ if .System }}", "params": b"no json"}
    hub.add("owner/Bad-GGUF", {"m-Q8_0.gguf": small, **bad})
    with daemon_at(tmp_path / "home", hub) as daemon:
        said = [line["status"] for line in pull(daemon, "hf.co/owner/Beside-GGUF")]
        assert said[-1] == "success"
        assert len([words for words in said if "top_k" in words]) == 1
        shown = daemon.ask("POST", "/api/show", {"model": "hf.co/owner/Beside-GGUF"}).json
        assert shown["template"] == beside["template"].decode()
        assert shown["system"] == "Be brief."
        assert "temperature" in shown["parameters"] and "top_k" not in shown["parameters"]
        assert "warnings" not in shown
        said = [line["status"] for line in pull(daemon, "hf.co/owner/Bad-GGUF")]
        assert said[-1] == "success"
        assert any("params is left out" in words for words in said)
        assert any("template beside the model is left out" in words for words in said)


def test_a_file_that_is_no_model_is_called_as_its_hub_calls_it(tmp_path, hub):
    hub.add("owner/Bad-GGUF", {"bad-Q8_0.gguf": b"GGUF" + b"\xff" * 500})
    with daemon_at(tmp_path / "home", hub) as daemon:
        assert "bad-Q8_0.gguf: at byte 4" in pull(daemon, "hf.co/owner/Bad-GGUF")[-1]["error"]
        assert daemon.ask("GET", "/api/tags").json["models"] == []
    assert not [*(tmp_path / "home" / "models" / "partial").glob("*.data")]


def test_a_wrong_byte_is_found_and_fetched_again(tmp_path, hub, large):
    hub.add("owner/Tiny-GGUF", {"tiny-Q8_0.gguf": large})
    path = f"/{hashlib.sha256(large).hexdigest()}"
    with FileServer({path: large}) as store:
        hub.store_url = store.origin
        store.faults[path] = [Fault("flip", times=4, at=20 * MIB)]
        with daemon_at(tmp_path / "home", hub) as daemon:
            name = "hf.co/owner/Tiny-GGUF:Q8_0"
            assert pull(daemon, name)[-1]["status"] == "success"
        sound(tmp_path / "home", name)


@pytest.mark.parametrize("host", ["hf.co", "modelscope.cn"])
def test_a_damaged_model_fetches_its_bad_parts_only(tmp_path, hub, large, host):
    """By the command, from the recorded revision and file of its hub; then all is good again."""
    hub.add("owner/Tiny-GGUF", {"tiny-Q8_0.gguf": large})
    path, name = f"/{hashlib.sha256(large).hexdigest()}", f"{host}/owner/Tiny-GGUF:Q8_0"
    with FileServer({path: large}) as store, daemon_at(tmp_path / "home", hub) as daemon:
        hub.store_url = store.origin
        for _ in range(2):  # what is known of its parts stays when it is pulled once more
            assert pull(daemon, name)[-1]["status"] == "success"
        blob = Library(tmp_path / "home" / "models").blobs.path(f"sha256:{path[1:]}")
        with blob.open("r+b") as file:
            file.seek(40 * MIB)
            file.write(b"damage")
        env = daemon.env | {"CORRAL_HOST": daemon.address}
        look = subprocess.run(command("verify", "--deep"), env=env, capture_output=True, text=True)
        assert look.returncode == 1
        assert f"corral repair {name}" in look.stdout
        before = store.n_served(path)
        mend = subprocess.run(command("repair", name), env=env, capture_output=True, text=True)
        assert mend.returncode == 0, mend.stderr
        assert "1 file is whole again" in mend.stdout
        assert store.n_served(path) - before == 16 * MIB
        assert subprocess.run(command("verify", "--deep"), env=env).returncode == 0
        answers_well(daemon, name)


@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.name == "nt", reason="kills with SIGKILL")
def test_a_daemon_killed_again_and_again_goes_on_by_itself(tmp_path, hub, large):
    """Whoever starts it need not ask: the job of the dead daemon ends well, and little is lost."""
    dice = random.Random(11)
    hub.add("owner/Tiny-GGUF", {"tiny-Q8_0.gguf": large})
    path, name = f"/{hashlib.sha256(large).hexdigest()}", "hf.co/owner/Tiny-GGUF:Q8_0"
    with FileServer({path: large}) as store:
        hub.store_url = store.origin
        store.rate_bps = 8 * MIB  # so that there is a middle to be killed in
        daemon = daemon_at(tmp_path / "home", hub).start()
        assert daemon.ask("POST", "/api/jobs", {"kind": "pull", "model": name}).status == 201
        n_waste = 0
        for number in range(N_KILLS):
            step = max(1, (len(large) - covered(store, path)) // (N_KILLS - number + 1))
            goal = store.n_served(path) + dice.randrange(1, step + 1)
            wait_for(lambda g=goal: store.n_served(path) >= g, "bytes to be served", 60)
            daemon.process.kill()
            daemon.process.wait()
            settled(store, path)
            n_twice = store.n_served(path) - n_waste - covered(store, path)
            assert n_twice <= MOST_TWICE
            n_waste += n_twice
            daemon = daemon_at(tmp_path / "home", hub).start()
        store.rate_bps = 0
        wait_for(lambda: job_of(daemon, name)["state"] == "done", "the job to be done", 120)
        answers_well(daemon, name)
        assert store.n_served(path) - len(large) <= N_KILLS * MOST_TWICE
        daemon.stop()
    sound(tmp_path / "home", name)
    assert not [*(tmp_path / "home" / "models" / "partial").glob("*.data")]


def test_a_pull_that_is_asked_for_again_goes_on_where_it_was(tmp_path, hub, large):
    hub.add("owner/Tiny-GGUF", {"tiny-Q8_0.gguf": large})
    path, name = f"/{hashlib.sha256(large).hexdigest()}", "hf.co/owner/Tiny-GGUF:Q8_0"
    with FileServer({path: large}) as store, daemon_at(tmp_path / "home", hub) as daemon:
        hub.store_url = store.origin
        store.rate_bps = 16 * MIB
        with daemon.stream("/api/pull", {"model": name}) as answer:
            answer.line()
            wait_for(lambda: store.n_served(path) > 20 * MIB, "bytes to be served")
        wait_for(lambda: job_of(daemon, name)["state"] == "paused", "the job to pause")
        store.rate_bps = 0
        assert pull(daemon, name)[-1]["status"] == "success"
        assert store.n_served(path) - len(large) <= MOST_TWICE


def split(path: Path, folder: Path, n_parts: int = 2) -> list[bytes]:
    """The model at ``path`` in several files, as ``llama-gguf-split`` makes them."""
    reader = gguf.GGUFReader(path)
    tensors = list(reader.tensors)
    each = -(-len(tensors) // n_parts)
    parts = []
    for number in range(n_parts):
        out = folder / f"part-{number}.gguf"
        writer = gguf.GGUFWriter(out, "llama")
        if number == 0:
            for field in reader.fields.values():
                if field.name.startswith("GGUF.") or field.name == "general.architecture":
                    continue
                kind = field.types[0]
                inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
                writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", n_parts)
        writer.add_int32("split.tensors.count", len(tensors))
        for tensor in tensors[number * each : (number + 1) * each]:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        parts.append(out.read_bytes())
    return parts


def job_of(daemon: RealDaemon, name: str) -> dict:
    jobs = daemon.ask("GET", "/api/jobs").json["jobs"]
    return next(job for job in jobs if job["name"] == name)


def covered(store: FileServer, path: str) -> int:
    """Bytes of the file that were served at least once."""
    end = n_bytes = 0
    with store.lock:
        rows = sorted(store.served.get(path, []))
    for first, last in rows:
        n_bytes += max(0, last - max(first, end))
        end = max(end, last)
    return n_bytes


def settled(store: FileServer, path: str) -> None:
    """Return once the server has noticed that nobody reads any more."""
    seen = [-1]

    def is_still() -> bool:
        before, seen[0] = seen[0], store.n_served(path)
        return before == seen[0]

    wait_for(is_still, "the server to notice")
