"""``corral keys`` against a real daemon."""

from __future__ import annotations

import json
import subprocess

from tests.real_daemon import RealDaemon, command


def corral(daemon, *words):
    env = {**daemon.env, "CORRAL_HOST": daemon.address}
    return subprocess.run(command(*words), env=env, capture_output=True, text=True, timeout=60)


def test_a_key_is_made_listed_used_and_revoked(tmp_path):
    with RealDaemon(tmp_path / "home") as daemon:
        made = corral(daemon, "keys", "add", "laptop", "--model", "qwen3:*", "--rate", "9",
                      "--expires", "30d")  # fmt: skip
        assert made.returncode == 0, made.stderr
        secret = made.stdout.strip()
        assert secret.startswith("corral-")
        assert "not shown again" in made.stderr
        listed = corral(daemon, "keys", "list")
        assert "qwen3:*" in listed.stdout
        assert "9/min" in listed.stdout
        assert secret not in listed.stdout
        (key,) = json.loads(corral(daemon, "keys", "list", "--json").stdout)
        assert key["scopes"] == ["infer"]
        revoked = corral(daemon, "keys", "revoke", key["id"])
        assert f"revoked key {key['id']}" in revoked.stderr + revoked.stdout
        again = corral(daemon, "keys", "revoke", key["id"])
        assert again.returncode == 1
        assert "corral keys list" in again.stderr
        assert "there are no keys" in corral(daemon, "keys", "list").stderr
