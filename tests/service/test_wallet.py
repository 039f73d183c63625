"""Tokens in a keyring: with the library's own backends, and one in memory by its own protocol."""

from __future__ import annotations

import asyncio
import threading

import pytest

from runner.errors import StoreError
from runner.service.secret import SecretService
from runner.service.wallet import Wallet

REASON = "the keyring comes with the desktop app"
keyring = pytest.importorskip("keyring", reason=REASON)
fail, null, backend = (
    pytest.importorskip(f"keyring.{name}") for name in ("backends.fail", "backends.null", "backend")
)


class InMemory(backend.KeyringBackend):
    """Keeps what it is told; can be locked, or never answer."""

    priority = 5

    def __init__(self):
        self.kept = {}
        self.is_locked = False
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.n_asked = 0

    def _answer(self):
        self.n_asked += 1
        self.may_answer.wait(60)
        if self.is_locked:
            raise keyring.errors.KeyringLocked("secret words")

    def get_password(self, service, username):
        self._answer()
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self._answer()
        self.kept[service, username] = password

    def delete_password(self, service, username):
        self._answer()
        del self.kept[service, username]


@pytest.fixture
def use():
    """Make a keyring the one in use, as ``keyring`` itself does it."""
    before = keyring.get_keyring()

    def choose(ring):
        keyring.set_keyring(ring)
        return ring

    yield choose
    keyring.set_keyring(before)


def service(tmp_path, **more):
    return SecretService(tmp_path / "secrets", Wallet(tmp_path, **more))


def put(secrets, value, name="hf"):
    asyncio.run(secrets.put(name, value))


def test_a_token_is_in_the_keyring_and_not_in_the_file(tmp_path, use):
    ring = use(InMemory())
    put(service(tmp_path), "hf_abc")
    assert list(ring.kept.values()) == ["hf_abc"]
    assert "hf_abc" not in (tmp_path / "secrets").read_text()
    again = service(tmp_path)  # the next daemon
    assert again.get("hf") == "hf_abc"
    assert again.list_names()["hf"] and again.list_places() == {"hf": "keyring"}
    put(again, None)
    assert ring.kept == {}
    assert service(tmp_path).get("hf") is None


@pytest.mark.parametrize("kind", [fail.Keyring, null.Keyring])
def test_without_a_keyring_worth_the_name_the_file_has_it(tmp_path, use, kind):
    use(kind())
    secrets = service(tmp_path)
    put(secrets, "hf_abc")
    assert secrets.list_places() == {"hf": "file"}
    assert service(tmp_path).get("hf") == "hf_abc"


def test_a_locked_keyring_leaves_it_to_the_file_and_is_asked_again_next_time(tmp_path, use, caplog):
    ring = use(InMemory())
    ring.is_locked = True
    secrets = service(tmp_path)
    put(secrets, "hf_abc")
    assert secrets.list_places() == {"hf": "file"}
    assert "KeyringLocked" in caplog.text and "secret words" not in caplog.text
    ring.is_locked = False
    put(secrets, "hf_new")
    assert secrets.list_places() == {"hf": "keyring"}
    assert secrets.get("hf") == "hf_new"


def test_a_token_that_cannot_be_read_is_none_and_stands_in_nobodys_way(tmp_path, use):
    ring = use(InMemory())
    put(service(tmp_path), "hf_abc")
    ring.is_locked = True
    again = service(tmp_path)
    n_asked = ring.n_asked
    assert again.get("hf") is None
    assert again.get("hf") is None
    assert ring.n_asked == n_asked + 1  # not with every request of a hub


def test_a_keyring_that_never_answers_is_given_up(tmp_path, use):
    ring = use(InMemory())
    ring.may_answer.clear()
    with pytest.raises(StoreError, match="no answer within"):
        Wallet(tmp_path, patience_s=0.05).read("hf")
    ring.may_answer.set()


def test_the_keyring_is_not_asked_for_what_is_not_in_it(tmp_path, use):
    ring = use(InMemory())
    (tmp_path / "secrets").write_text('{"format": 1, "secrets": {"hf": "hf_old"}}')
    assert service(tmp_path).get("hf") == "hf_old"
    assert ring.n_asked == 0


def test_two_homes_have_secrets_of_their_own(tmp_path, use):
    use(InMemory())
    Wallet(tmp_path / "one").write("hf", "a")
    assert Wallet(tmp_path / "two").read("hf") is None
