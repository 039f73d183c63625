"""What must work where only the wheel is installed: run by ``tests/run.py``, far from a checkout.

Needs nothing but the package and its dependencies: no pytest, no starter model, no network.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import runner

CORRAL = Path(sys.executable).parent / "corral"
START_S = 30.0


def test_every_module_can_be_imported():
    """Nothing needs a package that the wheel does not ask for, nor a file of the checkout."""
    assert Path(sys.prefix) in Path(runner.__file__).parents, runner.__file__
    names = [module.name for module in pkgutil.walk_packages(runner.__path__, "runner.")]
    assert len(names) > 20, names
    for name in names:
        if not name.endswith("__main__"):
            importlib.import_module(name)


def test_the_command_names_its_version():
    assert runner.__version__ in corral("--version")
    assert "run" in corral("--help")


def test_the_app_says_what_it_lacks_where_qt_is_not_installed():
    """The extra ``gui`` was not asked for."""
    done = subprocess.run([CORRAL.with_name("corral-app")], capture_output=True, text=True)
    assert done.returncode == 1 and "corral[gui]" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_the_daemon_serves_an_empty_library_and_ends_when_asked():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    os.environ["CORRAL_HOST"] = address
    log = Path("daemon.log")
    with log.open("wb") as output:
        daemon = subprocess.Popen([CORRAL, "serve"], stderr=output)
    try:
        answer = wait_for(f"http://{address}/api/version", daemon)
        assert answer["corral"] == runner.__version__, answer
        assert json.loads(corral("list", "--json")) in ([], {"models": []})
    finally:
        daemon.terminate()
        code = daemon.wait(timeout=START_S)
    assert code == 0, log.read_text()


def corral(*arguments: str) -> str:
    """Return what the installed command prints; it must succeed."""
    done = subprocess.run([CORRAL, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for(url: str, daemon: subprocess.Popen[bytes]) -> dict[str, str]:
    """Return the answer to ``url`` as soon as there is one."""
    deadline = time.monotonic() + START_S
    while True:
        assert daemon.poll() is None, Path("daemon.log").read_text()
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return dict(json.load(answer))
        except urllib.error.URLError:
            assert time.monotonic() < deadline, f"no answer from {url} in {START_S} s"
            time.sleep(0.05)


if __name__ == "__main__":
    for name, check in list(globals().items()):
        if name.startswith("test_"):
            check()
            print(f"  {name.removeprefix('test_').replace('_', ' ')}")
