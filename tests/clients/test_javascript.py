"""The official clients in JavaScript; each has tests in ``js/``, for node's own runner."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

JS = Path(__file__).parent / "js"
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(NODE is None, reason="node is not installed"),
    pytest.mark.timeout(600),
]


@pytest.mark.parametrize("client", ["ollama", "openai", "anthropic"])
def test_the_official_client_in_javascript(daemon, client):
    if not (JS / "node_modules").is_dir():
        pytest.skip("npm did not bring the clients: make .venv/.js")
    done = subprocess.run(
        [NODE, "--test", "--test-reporter=tap", f"{client}.test.mjs"],
        cwd=JS,
        env=os.environ | {"CORRAL_URL": daemon.url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=590,
    )
    assert done.returncode == 0, done.stdout[-10_000:]
    assert "# pass 0" not in done.stdout
