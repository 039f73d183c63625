"""Keys of other machines' devices: kept when they are right, and left out when lost."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import threading

import pytest

from runner.errors import DeviceError, InvalidRequest, StoreError
from runner.protocol.messages import Load, Remote
from runner.relay.handshake import new_key
from runner.relay.provider import Provider
from runner.service.remotes import LOST_S, RemoteService


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self):
        return self.now


class Ready:
    """A device that is there and does nothing."""

    def __init__(self):
        self.told, self.pid = {"build": "b", "devices": []}, 0
        self.ends = []

    def connect(self):
        server = socket.create_server(("127.0.0.1", 0))
        peer = socket.create_connection(server.getsockname())
        self.ends = [server, server.accept()[0]]
        return peer

    def close(self):
        for end in self.ends:
            end.close()


@pytest.fixture
def shared():
    """The address and the key of a device."""
    listener = socket.create_server(("127.0.0.1", 0))
    key = new_key()
    provider = Provider(listener, key, Ready)
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    thread = threading.Thread(target=provider.serve)
    thread.start()
    yield address, key
    provider.close()
    thread.join(60)


def load(*devices):
    return Load("r", "/model", 8, 8, 1, devices=devices)


def test_a_key_that_is_right_is_kept_for_the_owner_alone(tmp_path, shared):
    address, key = shared
    path = tmp_path / "devices"
    asyncio.run(RemoteService(path).add(address, f" {key}\n"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = RemoteService(path)
    assert [(d.address, d.is_lost) for d in again.list_devices()] == [(address, False)]
    assert again.equip(load(address, "-CUDA0")).remotes == (Remote(address, key),)


def test_a_key_that_is_wrong_is_not_kept(tmp_path, shared):
    service = RemoteService(tmp_path / "devices")
    with pytest.raises(DeviceError, match="refuses the key"):
        asyncio.run(service.add(shared[0], new_key()))
    assert service.list_devices() == []
    assert not (tmp_path / "devices").exists()


@pytest.mark.parametrize("key", ["", "  ", "x" * 201, "é", "a\x00b"])
def test_what_can_be_no_key_is_refused_by_its_field(tmp_path, key):
    with pytest.raises(InvalidRequest) as failed:
        asyncio.run(RemoteService(tmp_path / "devices").add("127.0.0.1:1", key))
    assert failed.value.param == "key"


def test_a_load_without_another_machines_device_gets_no_key(tmp_path, shared):
    service = RemoteService(tmp_path / "devices")
    asyncio.run(service.add(*shared))
    for devices in ((), ("CUDA0",), (f"-{shared[0]}",)):
        assert service.equip(load(*devices)) == load(*devices)


def test_a_device_without_a_key_is_refused_with_the_next_step(tmp_path):
    with pytest.raises(InvalidRequest, match=r"no key for the device 10\.0\.0\.5:1") as failed:
        RemoteService(tmp_path / "devices").equip(load("10.0.0.5:1"))
    assert failed.value.param == "devices"
    assert "corral devices add 10.0.0.5:1" in failed.value.hint


def test_a_lost_device_is_left_out_for_a_while(tmp_path, shared):
    clock = Clock()
    service = RemoteService(tmp_path / "devices", clock)
    address, key = shared
    asyncio.run(service.add(address, key))
    service.note_lost(address)
    assert service.list_devices()[0].is_lost
    told = service.equip(load(address))
    assert (told.remotes, told.lost) == ((), (address,))
    clock.now += LOST_S
    assert service.equip(load(address)).remotes == (Remote(address, key),)


def test_a_lost_device_that_is_added_again_is_there_again(tmp_path, shared):
    service = RemoteService(tmp_path / "devices")
    asyncio.run(service.add(*shared))
    service.note_lost(shared[0])
    asyncio.run(service.add(*shared))
    assert not service.list_devices()[0].is_lost


def test_a_device_that_was_removed_is_unknown(tmp_path, shared):
    service = RemoteService(tmp_path / "devices")
    asyncio.run(service.add(*shared))
    asyncio.run(service.remove(shared[0]))
    assert service.list_devices() == []
    with pytest.raises(InvalidRequest):
        asyncio.run(service.remove(shared[0]))


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}', '{"format": 1, "devices": 3}'])
def test_a_damaged_file_is_reported(tmp_path, content):
    (tmp_path / "devices").write_text(content)
    with pytest.raises(StoreError, match="damaged"):
        RemoteService(tmp_path / "devices")


def test_a_file_of_a_later_version_is_left_alone(tmp_path):
    (tmp_path / "devices").write_text(json.dumps({"format": 2, "devices": {}}))
    with pytest.raises(StoreError, match="format 2"):
        RemoteService(tmp_path / "devices")


def test_keys_of_two_devices_that_come_at_once_are_both_kept(tmp_path, shared):
    service = RemoteService(tmp_path / "devices")
    address, key = shared
    other = address.replace("127.0.0.1", "localhost")

    async def story():
        async with service._writing:  # both wait here for their turn to write
            adding = [asyncio.create_task(service.add(one, key)) for one in (address, other)]
            async with asyncio.timeout(60):
                while len(service._writing._waiters or ()) < len(adding):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
        await asyncio.gather(*adding)

    asyncio.run(story())
    assert [device.address for device in service.list_devices()] == [address, other]
    assert RemoteService(tmp_path / "devices").list_devices() == service.list_devices()
