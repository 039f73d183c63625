"""schemathesis against the daemon as it runs: every call, with the owner's token, every phase.

``tests/server/test_openapi.py`` has the quick half of it, against fakes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.models import tiny_model
from tests.real_daemon import RealDaemon

pytestmark = pytest.mark.clients

HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
CONFIG = Path(__file__).with_name("schemathesis.toml")
#: What is looked at.  Left out are the streams without an end and what ends the daemon.
COMMAND = (
    *(
        "--config-file",
        str(CONFIG),
        "run",
        "--no-color",
        "--seed",
        "1",
        "--max-examples",
        "3",
        "--max-time",
        "90",
    ),
    *("--request-timeout", "30", "--phases", "examples,coverage,fuzzing,stateful"),
    *("--exclude-path", "/api/events", "--exclude-path", "/api/logs"),
    *("--exclude-path", "/api/shutdown", "--checks"),
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,response_headers_conformance,unsupported_method",
)


@pytest.mark.timeout(400)
def test_no_call_makes_the_daemon_fail_or_answer_what_it_does_not_tell_of(tmp_path):
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("not installed: make .venv/.test")
    home = tmp_path / "home"
    with RealDaemon(home, CORRAL_OFFLINE="1", CORRAL_CONTEXT_LENGTH="256") as daemon:
        daemon.take_in(tiny_model(tmp_path / "tiny.gguf"), "tiny")
        daemon.ask("POST", "/api/copy", {"source": "tiny", "destination": "spare"})
        token = f"Authorization: Bearer {daemon.record['token']}"
        done = subprocess.run(
            [program, *COMMAND, "-H", token, f"{daemon.url}/openapi.json"],
            env=os.environ | {"SCHEMATHESIS_HOOKS": str(HOOKS)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=380,
        )
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
        assert daemon.process.poll() is None, "the daemon ended"
        reply = daemon.ask("GET", "/api/version")
        assert reply.status == 200
    assert "Traceback" not in daemon.log
