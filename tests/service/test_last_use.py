"""When models were last used, and the file that knows it."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from runner.domain.name import ModelName
from runner.service.last_use import LastUse

ONE, OTHER = ModelName.parse("one"), ModelName.parse("hf.co/own/other:Q8_0")


def test_a_use_is_known_at_once_and_by_the_next_daemon(tmp_path):
    path = tmp_path / "state" / "used.json"

    async def story():
        before = int(time.time())
        known = LastUse(path)
        assert known.of(ONE) == 0
        known.note(ONE)
        assert known.of(ModelName.parse("ONE:latest")) >= before
        assert not path.exists()  # not with every request
        await known.close()
        return known.of(ONE)

    noted = asyncio.run(story())
    assert LastUse(path).of(ONE) == noted
    assert LastUse(path).of(OTHER) == 0


def test_a_name_that_went_is_forgotten(tmp_path):
    path = tmp_path / "used.json"

    async def story():
        known = LastUse(path)
        known.note(ONE)
        known.note(OTHER)
        known.forget(ONE)
        await known.close()

    asyncio.run(story())
    assert list(json.loads(path.read_text())["used"]) == ["/".join(OTHER.key)]


def test_nothing_is_written_when_nothing_was_used(tmp_path):
    path = tmp_path / "used.json"
    asyncio.run(LastUse(path).close())
    assert not path.exists()


def test_a_disk_that_takes_nothing_stops_nobody(tmp_path, caplog):
    (tmp_path / "state").write_text("a file where the folder should be")

    async def story():
        known = LastUse(tmp_path / "state" / "used.json")
        known.note(ONE)
        await known.close()
        return known.of(ONE)

    assert asyncio.run(story()) > 0
    assert "was not kept" in caplog.text


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[1]", '{"format": 9, "used": {}}', '{"format": 1, "used": {"a": "x"}}', "\xff"],
)
def test_a_file_that_cannot_be_read_is_begun_anew(tmp_path, content):
    path = tmp_path / "used.json"
    path.write_text(content, encoding="latin-1")
    assert LastUse(path).of(ONE) == 0


def test_a_use_in_the_future_is_one_of_now(tmp_path):
    path = tmp_path / "used.json"
    path.write_text(json.dumps({"format": 1, "used": {"/".join(ONE.key): 9e12}}))
    assert LastUse(path).of(ONE) <= time.time()


def test_only_so_many_names_are_kept_the_newest(tmp_path):
    path = tmp_path / "used.json"
    used = {f"h/n/m{n}/latest": n for n in range(3000)}
    path.write_text(json.dumps({"format": 1, "used": used}))

    async def story():
        known = LastUse(path)
        known.note(ONE)
        await known.close()

    asyncio.run(story())
    kept = json.loads(path.read_text())["used"]
    assert len(kept) == 2000
    assert "h/n/m2999/latest" in kept
    assert "h/n/m0/latest" not in kept
