"""``corral folder`` before a daemon that says what it is told."""

from __future__ import annotations

import json

import pytest

FOLDER = {
    "folder": "/mnt/disk/models",
    "usual": "/home/me/models",
    "fixed_by": "",
    "there": True,
    "disk": 500_000_000_000,
    "free": 90_000_000_000,
}
PLAN = {
    "dry_run": True,
    "folder": "/mnt/other",
    "before": "/mnt/disk/models",
    "models": 2,
    "size": 9_000_000_000,
    "needed": 8_000_000_000,
    "free": 7_000_000_000,
    "models_there": 1,
    "ok": False,
}
JOB = {
    "id": 7,
    "kind": "move",
    "name": "/mnt/other",
    "state": "done",
    "phase": "success",
    "n_done": 5,
    "n_bytes": 5,
    "rate_bps": 0,
    "eta_s": None,
    "source": "",
    "error": None,
    "started": "2026-01-02T03:04:05Z",
    "finished": "2026-01-02T03:04:06Z",
    "place": 0,
    "limit_bps": 0,
    "attended": False,
}


@pytest.fixture
def says(daemon):
    def say(reply):
        daemon.script.failures["/api/folder"] = (200, reply)

    return say


def test_where_the_models_are_is_one_line_for_scripts(corral, says):
    says(FOLDER)
    done = corral("folder")
    assert (done.returncode, done.out) == (0, "/mnt/disk/models\n")
    assert "90 GB free of 500 GB" in done.err
    assert "usual: /home/me/models" in done.err
    assert json.loads(corral("folder", "--json").out)["n_free"] == 90_000_000_000


def test_a_disk_that_has_gone_is_said_and_the_exit_code_tells(corral, says):
    says(FOLDER | {"there": False, "fixed_by": "CORRAL_MODELS"})
    done = corral("folder")
    assert done.returncode == 1
    assert "the folder is not there" in done.err
    assert "CORRAL_MODELS in the daemon's environment" in done.err


def test_a_plan_that_does_not_fit_says_so_with_numbers(corral, says):
    says(PLAN)
    done = corral("folder", "/mnt/other", "--dry-run")
    assert done.returncode == 1
    assert "2 models, 9 GB" in done.out
    assert "8 GB to write, 7 GB free there" in done.out
    assert "they do not fit" in done.err


def test_only_using_a_folder_says_what_stays_behind(corral, says):
    says(PLAN)
    done = corral("folder", "/mnt/other", "--no-move")
    assert done.returncode == 0
    assert "the library is /mnt/other now, with 1 model" in done.err
    assert "/mnt/disk/models" in done.err


def test_a_move_is_followed_to_its_end(corral, says):
    says(JOB)
    done = corral("folder", "/mnt/other")
    assert (done.returncode, done.out) == (0, "")
    assert "the models are in /mnt/other now" in done.err
    assert "job 7" in corral("folder", "/mnt/other", "--detach").err


@pytest.mark.parametrize("words", [("--no-move",), ("/x", "--usual")])
def test_words_that_do_not_go_together_are_a_usage_error(corral, words):
    done = corral("folder", *words)
    assert done.returncode == 2
    assert "folder" in done.err
