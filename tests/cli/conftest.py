"""The ``corral`` command as a real process, against a fake daemon or one it starts itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.client import launch
from runner.domain.address import Address, parse_address
from runner.paths import find_paths
from tests.fakes.daemon import TOKEN, FakeDaemon

ROOT = Path(__file__).parents[2]
#: Puts the fake in the place of ``runner.daemon.main``, for ``corral serve`` as the CLI starts it.
STAND_IN = """
import sys, types
def main(argv):
    from tests.fakes.daemon import main
    return main(argv)
sys.modules["runner.daemon"] = types.ModuleType("runner.daemon")
sys.modules["runner.daemon.main"] = module = types.ModuleType("runner.daemon.main")
module.main = main
"""


class Corral:
    """Runs ``corral``; ``environ`` is what it sees."""

    command = (sys.executable, "-P", "-m", "runner")

    def __init__(self, environ):
        self.environ = environ

    def __call__(self, *words, stdin=subprocess.DEVNULL, **options):
        if isinstance(stdin, str | bytes):
            options["input"] = stdin.encode() if isinstance(stdin, str) else stdin
        else:
            options["stdin"] = stdin
        done = subprocess.run(
            [*self.command, *words],
            capture_output=True,
            env=self.environ,
            timeout=60,
            check=False,
            **options,
        )
        done.out, done.err = done.stdout.decode(), done.stderr.decode()
        return done

    def start(self, *words, **options):
        return subprocess.Popen(
            [*self.command, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environ,
            **{"stdin": subprocess.DEVNULL} | options,
        )


def environ_for(place, tmp_path):
    stand_in = tmp_path / "stand-in"
    stand_in.mkdir(exist_ok=True)
    (stand_in / "sitecustomize.py").write_text(STAND_IN)
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    return kept | {
        "PYTHONPATH": os.pathsep.join([str(stand_in), str(ROOT)]),
        "CORRAL_HOST": place,
        "TERM": "xterm",
    }


@pytest.fixture
def daemon():
    with FakeDaemon() as daemon:
        yield daemon


@pytest.fixture
def corral(daemon, tmp_path):
    """The command beside a daemon that runs, with the owner's token at hand."""
    own_record(daemon.place)
    return Corral(environ_for(daemon.place, tmp_path))


@pytest.fixture
def lonely(unused_port, tmp_path):
    """The command where no daemon runs yet; one that it starts is ended afterwards."""
    address = Address("127.0.0.1", unused_port)
    yield Corral(environ_for(str(address), tmp_path))
    if launch.probe(address).kind is launch.Kind.CORRAL:
        launch.client_for(find_paths(), address).shutdown()
        launch.wait_until_gone(address)


def own_record(place):
    paths = find_paths()
    paths.run.mkdir(parents=True, exist_ok=True)
    record = {"pid": 4242, "address": str(parse_address(place)), "token": TOKEN}
    paths.daemon_file.write_text(json.dumps(record))
