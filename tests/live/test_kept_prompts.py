"""Prompts on disk, with the real engine: they outlive worker and daemon, answers stay the same."""

from __future__ import annotations

import os
import signal

import pytest

from tests.real_daemon import RealDaemon, wait_for

pytestmark = pytest.mark.live

SYSTEM = {"role": "system", "content": "You answer in few words, kindly. " * 40}
FEW = {"temperature": 0, "num_predict": 12}


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    with RealDaemon(home) as daemon:
        reply = daemon.ask("POST", "/api/pull", {"model": "smollm2"})
        assert reply.lines[-1]["status"] == "success"
    return home


def ask(daemon, text, **more) -> dict:
    body = {"model": "smollm2", "messages": [SYSTEM, {"role": "user", "content": text}]}
    body |= {"stream": False, "options": FEW, "cache_report": True} | more
    reply = daemon.ask("POST", "/api/chat", body)
    assert reply.status == 200, reply.body
    return reply.json


def n_on_disk(daemon) -> int:
    return daemon.ask("GET", "/api/cache").json["tiers"]["disk"]["prompts"]


def kill_worker(daemon) -> None:
    os.kill(daemon.running("smollm2")["pid"], signal.SIGKILL)
    wait_for(lambda: not daemon.running("smollm2"), "the worker's end")


def test_a_prompt_outlives_the_daemon_and_the_answer_is_the_same(home):
    with RealDaemon(home) as daemon:
        first = ask(daemon, "What is a horse?")
        assert first["cache"] == {"cached_tokens": 0, "first_divergence": None}
    n_prompt = first["prompt_eval_count"]
    with RealDaemon(home) as daemon:
        again = ask(daemon, "What is a horse?")
        assert again["cache"] == {"cached_tokens": n_prompt - 1, "first_divergence": n_prompt}
        assert again["message"] == first["message"]
        other = ask(daemon, "Name a river.")
        assert 250 < other["cache"]["cached_tokens"] < n_prompt


def test_what_was_written_serves_after_a_kill_and_an_unload(home):
    with RealDaemon(home) as daemon:
        first = ask(daemon, "What is a horse?")
        wait_for(lambda: n_on_disk(daemon), "an entry")
        kill_worker(daemon)
        again = ask(daemon, "What is a horse?")
        assert again["cache"]["cached_tokens"] == first["prompt_eval_count"] - 1
        daemon.ask("POST", "/api/unload", {"model": "smollm2"})
        again = ask(daemon, "What is a horse?")
        assert again["cache"]["cached_tokens"] == first["prompt_eval_count"] - 1
        assert again["message"] == first["message"]


def test_a_damaged_entry_costs_its_gain_and_nothing_else(home):
    with RealDaemon(home) as daemon:
        first = ask(daemon, "What is a horse?")
        wait_for(lambda: n_on_disk(daemon), "an entry")
        kill_worker(daemon)
        (path,) = (home / "cache" / "kv").rglob("*.kv")
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 0xFF
        path.write_bytes(raw)
        again = ask(daemon, "What is a horse?")
        assert again["cache"]["cached_tokens"] == 0
        assert again["message"] == first["message"]


def test_prompts_are_cleared_by_hand_and_with_their_model(home):
    with RealDaemon(home) as daemon:
        ask(daemon, "What is a horse?")
        wait_for(lambda: n_on_disk(daemon), "an entry")
        assert daemon.ask("DELETE", "/api/cache", {"model": "smollm2"}).json["prompts"] >= 1
        assert daemon.ask("GET", "/api/cache").json["prompts"] == []
        assert ask(daemon, "What is a horse?")["cache"]["cached_tokens"] == 0
        daemon.ask("DELETE", "/api/delete", {"model": "smollm2"})
        assert list((home / "cache" / "kv").rglob("*.kv")) == []


def test_with_no_room_on_disk_nothing_is_written(home):
    with RealDaemon(home, CORRAL_KV_DISK="0") as daemon:
        ask(daemon, "What is a horse?")
        assert daemon.ask("GET", "/api/cache").json["tiers"]["disk"]["limit"] == 0
    with RealDaemon(home) as daemon:
        assert ask(daemon, "What is a horse?", cache="memory")["cache"]["cached_tokens"] == 0
    assert list((home / "cache").rglob("*.kv")) == []
