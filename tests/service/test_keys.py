"""API keys on disk and in use."""

from __future__ import annotations

import asyncio
import json
import stat
import sys

import pytest

from runner.domain.key import NewKey, Scope
from runner.errors import KeyNotFound, StoreError, TooManyRequests, Unauthorized
from runner.service.keys import PREFIX, KeyService


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "keys"


def test_a_key_is_found_by_its_secret_also_by_the_next_daemon(path):
    asked = NewKey("laptop", frozenset({Scope.MANAGE}), ("qwen3:*",), 30, 4e9)

    async def story():
        key, secret = await KeyService(path).add(asked)
        assert secret.startswith(PREFIX)
        again = KeyService(path)
        assert again.find(secret) == key
        assert again.list_keys() == [key]
        assert (key.name, key.scopes, key.models) == (asked.name, asked.scopes, asked.models)
        assert (key.n_per_minute, key.expires_at) == (30, 4e9)

    asyncio.run(story())


def test_the_file_holds_no_secret_and_is_its_owners(path):
    async def story():
        _, secret = await KeyService(path).add(NewKey("laptop"))
        return secret

    secret = asyncio.run(story())
    text = path.read_text()
    assert secret not in text
    assert secret.removeprefix(PREFIX) not in text
    assert json.loads(text)["format"] == 1
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["keys"]


def test_a_wrong_an_expired_and_a_revoked_key_open_nothing(path):
    clock = [1000.0]
    forgotten = []

    async def forget(key_id):
        forgotten.append(key_id)

    async def story():
        service = KeyService(path, on_revoked=forget, now=lambda: clock[0])
        _, short = await service.add(NewKey("short", expires_at=1001.0))
        gone, revoked = await service.add(NewKey("gone"))
        service.find(short)
        clock[0] = 1001.0
        with pytest.raises(Unauthorized, match="expired"):
            service.find(short)
        await service.revoke(gone.id)
        for secret in (revoked, "", PREFIX, "corral-\udcff", short[:-1]):
            with pytest.raises(Unauthorized, match="not known"):
                service.find(secret)
        with pytest.raises(KeyNotFound):
            await service.revoke(gone.id)
        assert forgotten == [gone.id]
        with pytest.raises(Unauthorized):
            KeyService(path).find(revoked)

    asyncio.run(story())


def test_the_last_use_outlives_the_daemon(path):
    clock = [1000.0]

    async def story():
        service = KeyService(path, now=lambda: clock[0])
        key, secret = await service.add(NewKey("laptop"))
        assert key.used_at is None
        clock[0] = 2000.0
        service.admit(service.find(secret))
        await service.close()
        assert KeyService(path).find(secret).used_at == 2000.0

    asyncio.run(story())


def test_a_minutes_requests_are_counted_for_each_key(path):
    async def story():
        service = KeyService(path)
        limited, _ = await service.add(NewKey("limited", n_per_minute=2))
        free, _ = await service.add(NewKey("free"))
        service.admit(limited)
        service.admit(limited)
        with pytest.raises(TooManyRequests, match="2 requests a minute") as caught:
            service.admit(limited)
        assert 0 < caught.value.wait_s <= 30
        for _ in range(10):
            service.admit(free)
        await service.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"format": 2, "keys": []}', '{"format": 1}', '{"format": 1, "keys": [{}]}',
     '{"format": 1, "keys": [{"sha256": "x", "scopes": ["none"]}]}', "\x80"],
)  # fmt: skip
def test_a_damaged_or_later_file_stops_the_daemon_and_stays_as_it_is(path, content):
    path.parent.mkdir()
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(StoreError):
        KeyService(path)
    assert path.read_bytes() == content.encode("latin-1")


@pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
def test_a_key_that_cannot_be_saved_is_no_key(tmp_path):
    (tmp_path / "home").write_text("a file, and no folder")

    async def story():
        service = KeyService(tmp_path / "none" / "keys")
        (tmp_path / "none").write_text("")
        with pytest.raises(StoreError):
            await service.add(NewKey("laptop"))
        assert service.list_keys() == []

    asyncio.run(story())


def test_a_key_whose_end_cannot_be_saved_is_there_to_be_revoked_again(tmp_path):
    """Else a retry would find none, while the next daemon lets it in."""
    folder, forgotten = tmp_path / "home", []
    folder.mkdir()

    async def forget(key_id):
        forgotten.append(key_id)

    async def story():
        service = KeyService(folder / "keys", on_revoked=forget)
        key, secret = await service.add(NewKey("laptop"))
        folder.rename(tmp_path / "away")
        folder.write_text("a file, and no folder")
        with pytest.raises(StoreError):
            await service.revoke(key.id)
        assert service.find(secret).id == key.id
        assert forgotten == []
        folder.unlink()
        (tmp_path / "away").rename(folder)
        await service.revoke(key.id)
        assert forgotten == [key.id]
        assert KeyService(folder / "keys").list_keys() == []

    asyncio.run(story())
