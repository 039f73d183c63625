"""The chats' file, used from the thread that draws."""

from __future__ import annotations

import threading

import pytest

from gui.chats.archive import Archive
from gui.chats.storage import Chat, Storage


def test_results_come_back_in_order_on_the_asking_thread(application, until, tmp_path):
    archive = Archive(tmp_path / "chats.sqlite")
    told, threads = [], []

    def take(chats):
        told.append([chat.title for chat in chats])
        threads.append(threading.current_thread())

    for title in ("a", "b"):
        archive.do(lambda storage, title=title: storage.save_chat(Chat(title=title)))
        archive.do(Storage.chats, take)
    until(lambda: len(told) == 2)
    archive.close()
    assert [sorted(titles) for titles in told] == [["a"], ["a", "b"]]
    assert set(threads) == {threading.main_thread()}


@pytest.mark.blocking
def test_closing_waits_for_what_was_handed_over(application, tmp_path):
    path = tmp_path / "chats.sqlite"
    archive = Archive(path)
    for number in range(50):
        archive.do(lambda storage, n=number: storage.save_chat(Chat(title=str(n))))
    archive.close()
    storage = Storage(path)
    assert len(storage.chats()) == 50
    storage.close()


def test_a_file_that_cannot_be_opened_is_told(application, until, tmp_path):
    path = tmp_path / "chats.sqlite"
    path.write_bytes(b"nothing of the kind" * 100)
    archive = Archive(path)
    told = []
    archive.failed.connect(told.append)
    archive.do(Storage.chats, told.append)
    archive.do(Storage.chats, told.append)
    archive.close()
    until(lambda: told)
    assert [error.code for error in told] == ["store_failed"]


def test_one_failed_change_does_not_stop_the_next(application, until, tmp_path):
    archive = Archive(tmp_path / "chats.sqlite")
    told, chats = [], []
    archive.failed.connect(told.append)
    archive.do(lambda storage: 1 / 0)
    archive.do(Storage.chats, chats.append)
    until(lambda: told and chats)
    archive.close()
    assert chats == [[]]
