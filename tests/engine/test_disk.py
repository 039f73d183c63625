"""The disk tier: what it writes, what it finds, and that it never serves what it should not."""

from __future__ import annotations

import queue
import shutil
import threading
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from runner.engine import disk as disk_module
from runner.engine.disk import WORTH_WRITING, DiskTier, Fetched, is_worth_writing
from runner.engine.tiers import Saved
from runner.kv.entry import FORMAT, file_name, read_entry
from runner.kv.key import CacheKey
from runner.kv.packed import pack
from runner.kv.shelf import Shelf

KEY = CacheKey("sha256:ab", "build", {"type_k": 1})
DEADLINE_S = 60.0


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.setattr(Shelf, "disk_is_low", lambda self, n_bytes: False)
    return Shelf(tmp_path / "kv")


def tier(shelf, key=KEY, *, n_bytes_max=1 << 30, n_pending_max=1 << 30):
    return DiskTier(shelf, key, n_bytes_max=n_bytes_max, n_pending_max=n_pending_max)


def text(*parts, n=300):
    """Tokens of parts that each are ``n`` tokens long and differ from the first one on."""
    return pack(part * 1000 + i for part in parts for i in range(n))


def saved(tokens, owner="", blob=b""):
    return Saved(tokens, blob or tokens[::-1], owner, may_go_to_disk=True, created_s=5.0)


def write(shelf, *entries, **limits):
    """A worker's life in which these states are written."""
    one = tier(shelf, **limits)
    for entry in entries:
        one.offer(entry)
    one.close(DEADLINE_S)


def search(one, tokens, owner="", *, n_least=64) -> Fetched:
    found: queue.SimpleQueue[Fetched] = queue.SimpleQueue()
    one.search("r1", tokens, owner, n_least=n_least, deliver=found.put)
    return found.get(timeout=DEADLINE_S)


def fetched_by_another(shelf, tokens, owner="", key=KEY, **more) -> Fetched:
    one = tier(shelf, key)
    if not one.may_have(tokens, owner):
        return Fetched("r1")
    fetched = search(one, tokens, owner, **more)
    one.close(0)
    return fetched


def test_what_one_worker_wrote_serves_the_next(shelf):
    write(shelf, saved(text(1, 2)))
    fetched = fetched_by_another(shelf, text(1, 2))
    assert fetched.n_alike == 600
    assert (fetched.saved.tokens, fetched.saved.blob) == (text(1, 2), text(1, 2)[::-1])


def test_a_stored_beginning_serves_another_end(shelf):
    """[system + A] is stored, [system + B] is asked."""
    write(shelf, saved(text(1, 2)))
    fetched = fetched_by_another(shelf, text(1, 3))
    assert fetched.n_alike == 300
    assert fetched.saved.tokens == text(1, 2)


def test_the_one_that_has_most_is_read(shelf):
    write(shelf, saved(text(1, 2)), saved(text(1, 3, 4)), saved(text(5)))
    assert fetched_by_another(shelf, text(1, 3, 5)).saved.tokens == text(1, 3, 4)


@pytest.mark.parametrize(
    "key",
    [
        replace(KEY, model="sha256:ac"),
        replace(KEY, build="other"),
        replace(KEY, settings={"type_k": 8}),
        replace(KEY, model="sha256:ab+sha256:cd"),
    ],
)
def test_what_was_computed_otherwise_is_not_served(shelf, key):
    write(shelf, saved(text(1)))
    assert fetched_by_another(shelf, text(1), key=key) == Fetched("r1")


def test_no_owner_finds_what_another_has(shelf):
    write(shelf, saved(text(1), "a"))
    assert fetched_by_another(shelf, text(1), "b") == Fetched("r1")
    assert fetched_by_another(shelf, text(1)) == Fetched("r1")
    assert fetched_by_another(shelf, text(1), "a").saved


def test_an_entry_moved_to_another_owner_or_key_is_not_served(shelf):
    """Names alone prove nothing: the entry itself says whose it is."""
    write(shelf, saved(text(1), "a"))
    other = replace(KEY, build="other")
    own = shelf.folder(KEY.folder_name, "a")
    for folder in (shelf.folder(KEY.folder_name, "b"), shelf.folder(other.folder_name, "a")):
        shutil.copytree(own, folder)
    assert fetched_by_another(shelf, text(1), "b").saved is None
    assert fetched_by_another(shelf, text(1), "a", key=other).saved is None


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_entry_is_computed_anew_and_goes(tmp_path_factory, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shelf, "disk_is_low", lambda self, n_bytes: False)
        shelf = Shelf(tmp_path_factory.mktemp("kv"))
        write(shelf, saved(text(1)))
    (file,) = shelf.files()
    raw = bytearray(file.path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    if data.draw(st.booleans()):
        del raw[at:]
    else:
        raw[at] ^= data.draw(st.integers(1, 255))
    file.path.write_bytes(raw)
    fetched = fetched_by_another(shelf, text(1))
    assert fetched.saved is None
    is_newer = raw[:8] == b"CORRALKV" and int.from_bytes(raw[8:12], "little") > FORMAT
    assert file.path.exists() == (is_newer and len(raw) >= 32)


def test_an_entry_under_the_name_of_another_text_is_not_served(shelf):
    """The name is how it is found, so a wrong one would bring the wrong prompt."""
    write(shelf, saved(text(1)))
    (file,) = shelf.files()
    file.path.rename(file.path.with_name(file_name(text(2))))
    assert fetched_by_another(shelf, text(2)).saved is None
    assert shelf.files() == []


def test_when_the_best_is_damaged_the_next_best_serves(shelf):
    write(shelf, saved(text(1, 2)), saved(text(1, 3)))
    for file in shelf.files():
        if read_entry(file.path).tokens == text(1, 2):
            file.path.write_bytes(file.path.read_bytes()[:-1] + b"?")
    assert fetched_by_another(shelf, text(1, 2)).saved.tokens == text(1, 3)


def test_an_entry_of_a_newer_version_stays(shelf):
    write(shelf, saved(text(1)))
    (file,) = shelf.files()
    raw = bytearray(file.path.read_bytes())
    raw[8] = FORMAT + 1
    file.path.write_bytes(raw)
    assert fetched_by_another(shelf, text(1)).saved is None
    assert file.path.exists()


def test_too_little_in_common_is_not_read(shelf):
    write(shelf, saved(text(1, 2)))
    assert fetched_by_another(shelf, text(1, 3), n_least=301).saved is None
    # 20 tokens more are not worth reading 6,000.
    write(shelf, saved(text(*range(7, 27))))
    fetched = fetched_by_another(shelf, text(7, 8), n_least=580)
    assert (fetched.n_alike, fetched.saved) == (600, None)
    assert fetched_by_another(shelf, text(7, 8), n_least=64).saved


def test_a_longer_text_takes_the_place_of_its_beginning(shelf):
    write(shelf, saved(text(1)), saved(text(1, 2)), saved(text(3)))
    assert {prompt.n_tokens for prompt in shelf.prompts()} == {600, 300}
    assert len(shelf.files()) == 2


def test_the_folder_keeps_its_limit_and_the_last_used_stay(shelf):
    texts = [text(i) for i in range(1, 6)]
    n_each = 2 * len(texts[0]) + 500
    for one in texts:
        write(shelf, saved(one), n_bytes_max=3 * n_each)
        if one is not texts[0]:
            assert fetched_by_another(shelf, texts[0]).saved  # used each time, so it stays
    assert sum(file.n_bytes for file in shelf.files()) <= 3 * n_each
    assert fetched_by_another(shelf, texts[-1]).saved
    assert not fetched_by_another(shelf, texts[1]).saved


def test_nothing_is_written_when_the_disk_is_low(shelf, monkeypatch):
    monkeypatch.setattr(Shelf, "disk_is_low", lambda self, n_bytes: True)
    write(shelf, saved(text(1)))
    assert shelf.files() == []


def test_what_could_not_be_written_may_be_offered_again(shelf, monkeypatch):
    monkeypatch.setattr(Shelf, "disk_is_low", lambda self, n_bytes: True)
    one = tier(shelf)
    assert one.wants(text(1), "")
    one.offer(saved(text(1)))
    assert not one.wants(text(1), "")
    one.close(DEADLINE_S)
    assert one.wants(text(1), "")


def test_what_waits_to_be_written_is_limited(shelf, monkeypatch):
    may_go = threading.Event()
    real = disk_module.write_entry

    def slowly(*args, **options):
        assert may_go.wait(DEADLINE_S)
        return real(*args, **options)

    monkeypatch.setattr(disk_module, "write_entry", slowly)
    one = tier(shelf, n_pending_max=3000)
    assert one.offer(saved(text(1), blob=b"x" * 4000))  # a single one always
    assert not one.offer(saved(text(2), blob=b"x" * 100))
    may_go.set()
    one.close(DEADLINE_S)
    assert len(shelf.files()) == 1


def test_a_worker_that_ends_writes_no_longer_than_it_may(shelf):
    one = tier(shelf)
    began = time.monotonic()
    one._deadline_s = began - 1  # the time is up before the first
    one.offer(saved(text(1)))
    one._writes.put(None)
    one._threads["cache-writer"].join(DEADLINE_S)
    assert shelf.files() == []


def test_an_owner_whose_entries_were_cleared_is_looked_up_anew(shelf):
    write(shelf, saved(text(1), "a"))
    one = tier(shelf)
    assert search(one, text(1), "a").saved
    shelf.clear()
    one.clear("a")
    assert one.wants(text(1), "a")
    assert search(one, text(1), "a") == Fetched("r1")
    assert not one.may_have(text(1), "a")
    one.close(0)


def test_names_alone_say_that_a_prompt_is_unknown(shelf):
    write(shelf, saved(text(1)))
    one = tier(shelf)
    assert one.may_have(text(2), "")  # nobody has looked yet
    search(one, text(2))
    assert not one.may_have(text(2), "")
    assert one.may_have(text(1, 2), "")
    assert not one.may_have(text(1, n=10), "")  # too short for any entry
    one.close(0)


def test_what_was_kept_before_is_found_though_something_was_written_first(shelf):
    """A worker's first prompts may be too short to be looked up, and their answers long."""
    write(shelf, saved(text(1, 2)))
    one = tier(shelf)
    one.offer(saved(text(5)))
    assert one.may_have(text(1, 2), "")
    assert search(one, text(1, 2)).saved
    assert not one.may_have(text(6), "")
    one.close(DEADLINE_S)
    assert len(shelf.files()) == 2


def test_what_was_cleared_is_not_counted_for_ever(shelf):
    """Conversations come and go; only what waits to be written must hear of their clearing."""
    one = tier(shelf)
    for number in range(50):
        one.clear("a", f"c{number}")
    assert not one._n_clears
    one.offer(saved(text(1)))
    one.clear("a", "c1")
    one.close(DEADLINE_S)
    assert not one._n_clears


def test_a_discarded_state_goes_from_disk(shelf):
    write(shelf, saved(text(1)))
    one = tier(shelf)
    one.discard(search(one, text(1)).saved)
    assert shelf.files() == []
    assert search(one, text(1)).saved is None
    one.close(0)


@given(n=st.integers(0, 5000), n_kept=st.integers(0, 5000), is_last=st.booleans())
def test_what_is_worth_writing(n, n_kept, is_last):
    n_kept = min(n, n_kept)
    worth = is_worth_writing(n, n_kept, is_last=is_last)
    assert worth <= (n - n_kept >= WORTH_WRITING)
    if n_kept == 0 or is_last:
        assert worth == (n - n_kept >= WORTH_WRITING)
    if worth and not is_last:
        assert n >= n_kept * 1.25


def test_a_long_conversation_writes_a_few_times_its_size():
    """The rule's price: turns of 100 tokens, up to 20,000."""
    n_kept = n_written = 0
    for n in range(100, 20_001, 100):
        if is_worth_writing(n, n_kept, is_last=False):
            n_kept, n_written = n, n_written + n
    assert n_kept >= 20_000 * 0.75
    assert n_written <= 6 * 20_000


def test_ten_thousand_entries_of_others_are_not_opened(shelf, monkeypatch):
    """Only names are read, and headers of what begins alike."""
    write(shelf, saved(text(1)))
    folder = shelf.files()[0].path.parent
    for i in range(10_000):
        (folder / f"{i:016x}-{i:032x}.kv").touch()
    opened = []
    real = disk_module.read_header
    monkeypatch.setattr(disk_module, "read_header", lambda path: opened.append(path) or real(path))
    assert fetched_by_another(shelf, text(1, 2)).saved
    assert len(opened) == 1
