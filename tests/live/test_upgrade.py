"""A home that the first version wrote, byte for byte, works with this one: nothing in it is lost.

The texts below are what version 0.1.0 left on disk.  They are never brought up to date: when a
format changes, its first form stays here, and one of the new form stands beside it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3

import pytest

from gui.chats.storage import Storage
from gui.settings import read
from runner.cli.main import main as cli
from tests.fakes.models import tiny_model
from tests.real_daemon import RealDaemon

pytestmark = pytest.mark.live

CONFIG = 'format = 1\n\nkeep_alive = "7m"\nlog_level = "debug"\n'
KEY = "corral-1kLN_qHMnc5fRE6FCzDZFUG5fYHUdRjc2a8IDdnQbWg"
KEYS = """{"format": 1, "keys": [{
 "sha256": "f0c76cd699c318b0c18aa6652ae5195b68a8d9dcbd199454d2152b6ba6f5b569",
 "id": "a4c65fff", "name": "laptop", "scopes": ["infer"], "models": [], "n_per_minute": 0,
 "created_at": 1795338037.811509, "expires_at": null, "used_at": null}]}"""
MANIFEST = """{"format":1,"name":"tiny:latest","layers":[{"kind":"model","digest":"sha256:DIGEST",
"n_bytes":N_BYTES}],"facts":{"architecture":"llama","n_params":24032,"quantization":"F32",
"n_ctx_train":2048,"n_embd":32,"n_layer":1,"kv_widths":[[32,32]],"n_vocab":262,
"n_weights_bytes":96128,"template":"{% for m in messages %}<|im_start|>{{ m.role }}\\n{{ m.content \
}}<|im_end|>\\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\\n{% endif %}",
"license":"","capabilities":["completion"]},"provenance":{"source":"file","file":"tiny.gguf",
"time":"2026-11-22T09:00:37+00:00"}}"""
JOBS = """
CREATE TABLE jobs (job_id INTEGER PRIMARY KEY AUTOINCREMENT, record BLOB NOT NULL);
PRAGMA user_version = 1;
"""
JOB = (
    '{"job":{"job_id":0,"kind":"import","name":"tiny:latest","state":"paused","phase":"",'
    '"n_done":0,"n_bytes":0,"rate_bps":0,"eta_s":null,"source":"","error":null,'
    '"started":1795338037.7650518,"finished":null,"place":0,"limit_bps":0,"is_attended":true},'
    '"keys":[]}'
)
PULL = (
    '{"job":{"job_id":0,"kind":"pull","name":"hf.co/owner/Tiny-GGUF:Q8_0","state":"paused",'
    '"phase":"pulling 7dbec5929523","n_done":18350080,"n_bytes":63018240,"rate_bps":0,"eta_s":null,'
    '"source":"hf.co","error":null,"started":1795338037.7650518,"finished":null,"place":0,'
    '"limit_bps":0,"is_attended":true},'
    '"keys":["sha256:7dbec59295231381406afaa68f1bd8b8fb08aa0142439ad65303104721759b22"]}'
)
CHATS = """
CREATE TABLE chats (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL DEFAULT '',
    model TEXT NOT NULL DEFAULT '',
    system TEXT NOT NULL DEFAULT '',
    options TEXT NOT NULL DEFAULT '{}',
    draft TEXT NOT NULL DEFAULT '',
    is_pinned INTEGER NOT NULL DEFAULT 0,
    leaf_id INTEGER NOT NULL DEFAULT 0,
    created_s REAL NOT NULL,
    changed_s REAL NOT NULL
);
CREATE INDEX chats_by_change ON chats (is_pinned DESC, changed_s DESC);
CREATE TABLE turns (
    chat_id INTEGER NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
    id INTEGER NOT NULL,
    parent_id INTEGER NOT NULL,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    thinking TEXT NOT NULL,
    model TEXT NOT NULL,
    figures TEXT NOT NULL,
    is_whole INTEGER NOT NULL,
    created_s REAL NOT NULL,
    PRIMARY KEY (chat_id, id)
);
CREATE VIRTUAL TABLE words USING fts5 (text, chat_id UNINDEXED, turn_id UNINDEXED);
INSERT INTO chats VALUES (1, 'Hay', 'tiny:latest', 'Be brief.', '{"temperature": 0.5}', '', 1, 2,
    1795338000.0, 1795338037.0);
INSERT INTO turns VALUES (1, 1, 0, 'user', 'Is hay dry?', '', '', '{}', 1, 1795338036.0);
INSERT INTO turns VALUES (1, 2, 1, 'assistant', 'It should be.', '', 'tiny:latest', '{}', 1,
    1795338037.0);
INSERT INTO words VALUES ('Is hay dry?', 1, 1), ('It should be.', 1, 2);
PRAGMA user_version = 1;
"""
APP = '{"format": 1, "theme": "dark", "language": "zh", "font_px": 16, "model": "tiny:latest"}'


@pytest.fixture
def home(tmp_path):
    """The home of a daemon that ended."""
    home = tmp_path / "old"
    model = tiny_model(tmp_path / "tiny.gguf").read_bytes()
    digest = hashlib.sha256(model).hexdigest()
    blob = home / "models" / "blobs" / f"sha256-{digest}"
    manifest = home / "models" / "manifests" / "corral.local" / "library" / "tiny" / "latest"
    for path in (blob, manifest, home / "state" / "app.json"):
        path.parent.mkdir(parents=True)
    blob.write_bytes(model)
    text = MANIFEST.replace("DIGEST", digest).replace("N_BYTES", str(len(model)))
    manifest.write_text(text.replace('",\n"', '","').replace(",\n", ","))
    (home / "config.toml").write_text(CONFIG)
    (home / "keys").write_text(KEYS)
    (home / "keys").chmod(0o600)
    (home / "state" / "app.json").write_text(APP)
    for name, script in (("state.sqlite", JOBS), ("chats.sqlite", CHATS)):
        file = sqlite3.connect(home / "state" / name)
        file.executescript(script)
        if name == "state.sqlite":
            rows = [(1, JOB.encode()), (2, PULL.encode())]
            file.executemany("INSERT INTO jobs VALUES (?, ?)", rows)
        file.commit()
        file.close()
    return home


def test_library_settings_keys_and_jobs_are_those_of_before(home):
    with RealDaemon(home) as daemon:
        assert [m["name"] for m in daemon.ask("GET", "/api/tags").json["models"]] == ["tiny:latest"]
        said = daemon.ask("POST", "/api/verify", {"deep": True}).lines
        assert not any(line.get("faults") for line in said), said
        reply = daemon.ask(
            "POST",
            "/api/generate",
            {"model": "tiny", "prompt": "a", "stream": False, "options": {"num_predict": 3}},
        )
        assert reply.json["response"]
        settings = daemon.ask("GET", "/api/settings", owner=True).json["settings"]
        values = {one["name"]: (one["value"], one["source"]) for one in settings}
        assert values["keep_alive"] == ("7m", "file")
        (key,) = daemon.ask("GET", "/api/keys", owner=True).json["keys"]
        assert (key["id"], key["name"]) == ("a4c65fff", "laptop")
        jobs = daemon.ask("GET", "/api/jobs").json["jobs"]
        # An import is over with its daemon, though the first version left it in the file.
        assert ("pull", "hf.co/owner/Tiny-GGUF:Q8_0", "paused", 18350080) in [
            (job["kind"], job["name"], job["state"], job["n_done"]) for job in jobs
        ]
        assert "import" not in {job["kind"] for job in jobs}
    assert (home / "config.toml").read_text() == CONFIG


def test_an_old_key_still_opens_the_door():
    """The key of the old file is known by its digest, which no version may change."""
    assert hashlib.sha256(KEY.encode()).hexdigest() == json.loads(KEYS)["keys"][0]["sha256"]


def test_chats_and_choices_are_those_of_before(home):
    storage = Storage(home / "state" / "chats.sqlite")
    try:
        (chat,) = storage.chats()
        assert (chat.title, chat.system, chat.options) == ("Hay", "Be brief.", {"temperature": 0.5})
        assert [turn.text for turn in storage.turns(1)] == ["Is hay dry?", "It should be."]
        assert [hit.turn_id for hit in storage.search("dry")] == [1]
    finally:
        storage.close()
    choices = read(home / "state" / "app.json")
    assert (choices.theme, choices.language, choices.font_px) == ("dark", "zh", 16)


def test_a_home_of_a_newer_version_is_refused_in_words_and_left_alone(home, monkeypatch, capsys):
    newer = CONFIG.replace("format = 1", "format = 99")
    (home / "config.toml").write_text(newer)
    monkeypatch.setenv("CORRAL_HOME", str(home))
    assert cli(["corral", "list"]) == 1
    said = capsys.readouterr().err
    assert "format 99" in said and "newer version" in said
    assert (home / "config.toml").read_text() == newer
