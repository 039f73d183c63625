"""Pages over a scripted daemon that answers on real sockets."""

from __future__ import annotations

import json

import pytest

from runner.config import parse_address
from runner.paths import find_paths
from tests.fakes.daemon import TOKEN, FakeDaemon, Script
from tests.gui.system_libraries import REASON

if not REASON:
    from gui.link import Link, Phase
    from gui.pages import House
    from gui.settings import Settings
    from gui.theme import THEME


@pytest.fixture
def fake():
    with FakeDaemon(Script()) as daemon:
        yield daemon


class Desk:
    """A page in a window of its own, and what it did to the house."""

    def __init__(self, address, folder, until):
        self.link = Link(find_paths(), parse_address(address), starts=False)
        self.settings = Settings(folder / "app.json")
        self.went = []
        self.house = House(self.link, self.settings, self.went.append)
        self.until = until
        self.page = None

    def open(self, kind, *, phase=None):
        """Show a page, once the daemon's state is known."""
        phase = phase or Phase.UP
        self.link.watch()
        self.until(lambda: self.link.state.phase is phase)
        self.page = kind(self.house)
        self.page.resize(1000, 700)
        self.page.show()
        self.page.entered()
        return self.page

    def settled(self):
        """Wait until everything that was asked is answered and shown."""
        self.until(lambda: self.link.is_quiet)


@pytest.fixture
def at(application, tmp_path, until):
    """Make desks at an address; they are put away when the test ends."""
    desks = []
    THEME.apply("light")

    def make(address):
        desk = Desk(address, tmp_path / "app", until)
        desks.append(desk)
        return desk

    yield make
    for desk in desks:
        desk.link.close()
        if desk.page is not None:
            desk.page.close()
        desk.settled()
        if desk.page is not None:
            desk.page.deleteLater()
        if desk.link._watcher is not None:
            desk.link._watcher.join(60)


@pytest.fixture
def desk(at, fake):
    """A desk at the scripted daemon, whose token it knows."""
    record = find_paths().daemon_file
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"address": fake.place, "token": TOKEN}), encoding="utf-8")
    return at(fake.place)
