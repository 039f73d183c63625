"""``corral verify``, ``repair``, ``prune`` and ``du`` before a daemon that says what it is told."""

from __future__ import annotations

import json

import pytest

FAULT = {
    "model": "qwen3:4b",
    "file": "sha256-abcd",
    "reason": "one part of it, 16 of 32 bytes, are not what they were",
    "hint": "mend it with: corral repair qwen3:4b",
    "bad_bytes": 16,
}
DU = {
    "folder": "/home/somebody/models",
    "models": [{"model": "qwen3:4b", "size": 3_000_000_000, "shared": 1_000_000_000}],
    "total": 3_000_000_000,
    "unused": 5,
    "partial": 6,
    "quarantine": 7,
    "free": 8,
}
PRUNED = {
    "dry_run": True,
    "size": 5_000_000,
    "files": [{"file": "blobs/sha256-cd", "size": 5_000_000, "reason": "no model uses it"}],
    "kept": "",
}


@pytest.fixture
def says(daemon):
    def say(path, reply):
        daemon.script.failures[path] = (200, reply)

    return say


def verified(*faults):
    return {"status": "success", "models": 2, "size": 32, "faults": list(faults)}


def test_a_fault_is_told_with_what_to_do_and_the_exit_code_says_so(corral, says):
    says("/api/verify", verified(FAULT))
    done = corral("verify", "qwen3:4b", "--deep")
    assert done.returncode == 1
    assert "qwen3:4b, file sha256-abcd: one part of it" in done.out
    assert "corral repair qwen3:4b" in done.out


def test_good_models_are_told_in_one_line(corral, says):
    says("/api/verify", verified())
    done = corral("verify")
    assert (done.returncode, done.out) == (0, "2 models are good (sizes and headers)\n")


def test_verify_as_json_has_the_faults_and_the_same_code(corral, says):
    says("/api/verify", verified(FAULT))
    done = corral("verify", "--json")
    assert done.returncode == 1
    assert json.loads(done.out)["faults"][0]["n_bad"] == 16


@pytest.mark.parametrize(
    ("n_files", "text"),
    [
        (1, "1 file is whole again; 16 MB were fetched"),
        (0, "qwen3:4b is good; nothing was changed"),
    ],
)
def test_repair_says_what_it_cost(corral, says, n_files, text):
    reply = {"model": "qwen3:4b", "files": n_files, "size": 9, "fetched": 16 << 20}
    says("/api/repair", {"status": "success", **reply})
    done = corral("repair", "qwen3:4b")
    assert (done.returncode, done.out.strip()) == (0, text)
    assert json.loads(corral("repair", "qwen3:4b", "--json").out)["n_fetched"] == 16 << 20


def test_prune_tells_each_file_and_why(corral, says):
    says("/api/prune", PRUNED)
    done = corral("prune", "--dry-run")
    assert done.out.splitlines()[1].split() == [
        "blobs/sha256-cd",
        "5",
        "MB",
        *["no", "model", "uses", "it"],
    ]
    assert done.out.endswith("5 MB would be free again\n")
    assert json.loads(corral("prune", "-n", "--json").out) == PRUNED


def test_prune_warns_when_nobody_can_tell_what_is_used(corral, says):
    says("/api/prune", PRUNED | {"files": [], "size": 0, "kept": "a manifest is damaged"})
    done = corral("prune")
    assert "a manifest is damaged" in done.err
    assert done.out == "nothing to remove\n"


def test_du_tells_what_removing_a_model_gives_back(corral, says):
    says("/api/du", DU)
    done = corral("du")
    assert done.out.splitlines()[1].split() == ["qwen3:4b", "3", "GB", "2", "GB"]
    assert "in /home/somebody/models" in done.out
    assert "corral prune" in done.err
    assert json.loads(corral("du", "--json").out) == DU
