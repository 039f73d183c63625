"""Downloads against a server that does everything wrong that servers do."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from runner.errors import SourceError
from runner.hub.download import fetch
from runner.hub.patience import Patience
from runner.hub.source import Candidate
from runner.hub.throttle import Throttle
from runner.hub.worker import Manner
from runner.store.arrival import PART_BYTES, open_arrival
from tests.fakes.file_server import Fault, FileServer
from tests.hub.fetching import MIB, QUICK, Waits, download, drain, noise, remote

PATH = "/owner/model.gguf"
CONTENT = noise(3 * PART_BYTES + 12_345)
SMALL = noise(300_000, seed=1)


@pytest.fixture
def server():
    with FileServer({PATH: CONTENT, "/small": SMALL, "/empty": b""}) as server:
        yield server


@pytest.mark.parametrize("n_ranges", [1, 3, 8])
def test_a_file_arrives_whole_and_every_byte_once(server, tmp_path, n_ranges):
    assert download(tmp_path, remote(server.url(PATH), CONTENT), n_ranges=n_ranges) == CONTENT
    assert server.n_served(PATH) == len(CONTENT)


def test_several_ranges_come_at_once(server, tmp_path):
    download(tmp_path, remote(server.url(PATH), CONTENT), n_ranges=4)
    assert len(server.served[PATH]) == 4


def test_an_empty_file_arrives_without_a_request(server, tmp_path):
    assert download(tmp_path, remote(server.url("/empty"), b"")) == b""
    assert server.requests == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("drop", after=0),
        Fault("drop", after=1),
        Fault("drop", after=5 * MIB + 1),
        Fault("drop", after=MIB, times=5),
        Fault("short"),
        Fault("long"),
        Fault("lie"),
        Fault("whole"),
        Fault("whole", times=-1),
        Fault("status", status=500, times=3),
        Fault("status", status=503, times=2),
        Fault("status", status=429, times=2),
        Fault("status", status=408),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.after}-{fault.status}x{fault.times}",
)
@pytest.mark.parametrize("n_ranges", [1, 4])
def test_a_fault_on_the_way_costs_a_try_and_no_byte(server, tmp_path, fault, n_ranges):
    server.faults[PATH] = [Fault(**vars(fault))]
    assert download(tmp_path, remote(server.url(PATH), CONTENT), n_ranges=n_ranges) == CONTENT


def test_a_server_without_ranges_sends_the_file_once(server, tmp_path):
    server.faults[PATH] = [Fault("whole", times=-1)]
    download(tmp_path, remote(server.url(PATH), CONTENT))
    assert server.n_served(PATH) == len(CONTENT)


def test_a_stall_counts_as_a_drop(server, tmp_path):
    server.faults[PATH] = [Fault("stall", after=MIB)]
    patience = Patience(n_tries=3, first_s=0.001, stall_s=0.3)
    assert download(tmp_path, remote(server.url(PATH), CONTENT), patience=patience) == CONTENT


def test_a_server_that_never_gives_anything_is_given_up_in_words(server, tmp_path):
    server.faults[PATH] = [Fault("status", status=500, times=-1)]
    with pytest.raises(SourceError) as caught:
        download(tmp_path, remote(server.url(PATH), CONTENT))
    assert "HTTP 500" in caught.value.message
    assert f"tried {QUICK.n_tries} times" in caught.value.message
    assert "is kept" in caught.value.hint
    # Another range may be under way when the last try of one fails.
    assert QUICK.n_tries <= len(server.requests) < 2 * QUICK.n_tries


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("status", status=404, times=-1), "does not have the file any more"),
        (Fault("status", status=401, times=-1), "wants a token"),
        (Fault("loop", times=-1), "redirects without end"),
        (Fault("size", times=-1), "not of the"),
        (Fault("page", times=-1), "25 bytes, not of the"),
        (Fault("redirect", to="file:///etc/passwd", times=-1), "leads to file"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_what_will_not_change_is_told_in_words(server, tmp_path, fault, words):
    server.faults[PATH] = [fault]
    with pytest.raises(SourceError, match=words):
        download(tmp_path, remote(server.url(PATH), CONTENT))


def test_a_host_that_nobody_has_is_told(tmp_path):
    with FileServer() as gone:
        url = gone.url(PATH)
    with pytest.raises(SourceError, match="the connection failed"):
        download(tmp_path, remote(url, CONTENT))


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_says_when_to_come_back_and_is_obeyed(server, tmp_path, status):
    server.faults["/small"] = [Fault("status", status=status, retry_after="7")]
    waits = Waits()
    assert download(tmp_path, remote(server.url("/small"), SMALL), wait=waits) == SMALL
    assert 6.5 < max(waits.seconds) <= 7


def test_a_server_that_wants_to_be_left_alone_for_hours_is_given_up(server, tmp_path):
    server.faults["/small"] = [Fault("status", status=429, retry_after="86400", times=-1)]
    with pytest.raises(SourceError, match="busy"):
        download(tmp_path, remote(server.url("/small"), SMALL))
    assert len(server.requests) == 1


def test_what_has_arrived_is_not_fetched_again(server, tmp_path):
    file = remote(server.url(PATH), CONTENT)
    arrival = open_arrival(tmp_path, f"sha256:{file.sha256}", file.n_bytes)
    steps = fetch(file, arrival, Manner(n_ranges=2, patience=QUICK))
    for step in steps:
        if step.n_done > 10 * MIB:
            break
    steps.close()
    arrival.close()
    served = server.n_served(PATH)
    assert download(tmp_path, file) == CONTENT
    # Two ranges: a piece and a window of each, and what the server had in its own buffers.
    assert server.n_served(PATH) - len(CONTENT) < 4 * MIB
    assert served > 10 * MIB


def test_a_damaged_part_on_disk_is_noticed_and_fetched_again(server, tmp_path):
    file = remote(server.url(PATH), CONTENT)
    download(tmp_path, file)
    (data,) = tmp_path.glob("*.data")
    with data.open("r+b") as out:
        out.seek(PART_BYTES + 5)
        out.write(b"\0\0\0\0")
    assert download(tmp_path, file) == CONTENT
    assert server.n_served(PATH) == len(CONTENT) + PART_BYTES


# Redirects, links that expire, tokens


@pytest.fixture
def hub(server):
    with FileServer({PATH: CONTENT, "/small": SMALL}) as hub:
        hub.cdn = server
        yield hub


def test_a_link_is_asked_for_once_and_used_for_all_ranges(hub, server, tmp_path):
    assert download(tmp_path, remote(hub.url(PATH), CONTENT)) == CONTENT
    assert len(hub.requests) == 1
    assert len(server.served[PATH]) == 4


def test_links_that_expire_are_asked_for_again(hub, server, tmp_path):
    server.link_uses = 1
    server.faults[PATH] = [Fault("drop", after=MIB, times=4)]
    assert download(tmp_path, remote(hub.url(PATH), CONTENT)) == CONTENT
    assert len(hub.requests) > 1


def test_a_token_stays_with_its_own_host(hub, server, tmp_path):
    hub.token = "Bearer secret"
    headers = {"Authorization": "Bearer secret", "Cookie": "m_session_id=secret"}
    file = remote(hub.url(PATH), CONTENT, headers=lambda: headers)
    assert download(tmp_path, file) == CONTENT
    assert "secret" not in repr(file)
    assert all("authorization" not in seen for seen in server.asked(PATH))
    assert all("cookie" not in seen for seen in server.asked(PATH))
    assert all(seen["cookie"] for seen in hub.asked(PATH))


def test_a_file_that_changed_at_its_hub_is_not_mixed_with_another(hub, tmp_path):
    file = remote(hub.url(PATH), CONTENT, sha256="0" * 64)
    with pytest.raises(SourceError, match="has changed at its source"):
        download(tmp_path, file)


# Several places


@pytest.fixture
def mirror():
    with FileServer({PATH: CONTENT}) as mirror:
        yield mirror


def both(server, mirror, **more):
    other = Candidate(mirror.url(PATH), lambda: {"Authorization": "mirror's own"})
    own = {"Authorization": "first's own"}
    return remote(server.url(PATH), CONTENT, headers=lambda: own, candidates=(other,))


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=404, times=-1),
        Fault("status", status=500, times=-1),
        Fault("status", status=429, retry_after="400", times=-1),
        Fault("size", times=-1),
        Fault("drop", times=-1),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_another_place_takes_over_in_mid_file(server, mirror, tmp_path, fault):
    server.faults[PATH] = [Fault("drop", after=MIB), fault]
    assert download(tmp_path, both(server, mirror), n_ranges=1) == CONTENT
    assert MIB <= server.n_served(PATH) <= 2 * MIB  # some of what nobody reads
    assert mirror.n_served(PATH) == len(CONTENT) - MIB
    assert {seen["authorization"] for seen in mirror.asked(PATH)} == {"mirror's own"}
    assert {seen["authorization"] for seen in server.asked(PATH)} == {"first's own"}


#: What counts as slow in a test, and how soon.
IMPATIENT = replace(QUICK, least_bps=10_000, slow_s=0.05, rest_s=60.0)


@pytest.mark.parametrize("n_ranges", [1, 4])
def test_a_place_that_trickles_is_left_for_one_that_does_not(server, mirror, tmp_path, n_ranges):
    """At its speed the file would take hours, and no byte of it is a failure."""
    server.rate_bps, server.piece_bytes = 1000, 10
    file = both(server, mirror)
    assert download(tmp_path, file, n_ranges=n_ranges, patience=IMPATIENT) == CONTENT
    assert server.n_served(PATH) < MIB


def test_a_slow_line_is_borne_where_no_other_place_is_faster(server, mirror, tmp_path):
    """Each is asked in turn, and nobody waits for nothing."""
    slow = noise(3000, seed=4)
    for one in (server, mirror):
        one.files["/slow"], one.rate_bps, one.piece_bytes = slow, 9000, 100
    waits = Waits()
    other = Candidate(mirror.url("/slow"))
    file = remote(server.url("/slow"), slow, candidates=(other,))
    assert download(tmp_path, file, patience=IMPATIENT, wait=waits) == slow
    assert max(waits.seconds, default=0) < 1
    alone = remote(server.url("/slow"), slow)
    (tmp_path / "alone").mkdir()
    n_before = len(server.asked("/slow"))
    assert download(tmp_path / "alone", alone, patience=IMPATIENT) == slow
    assert len(server.asked("/slow")) == n_before + 1


def test_a_place_is_not_left_for_the_limit_that_its_user_set(server, mirror, tmp_path):
    small = noise(1500, seed=5)
    for one in (server, mirror):
        one.files["/small"] = small
    file = remote(server.url("/small"), small, candidates=(Candidate(mirror.url("/small")),))
    limit = (Throttle(9000),)
    assert download(tmp_path, file, patience=IMPATIENT, throttles=limit) == small
    assert mirror.asked("/small") == []


# Speed, files without a promise


def test_a_limit_holds_over_all_ranges(server, tmp_path):
    """The bucket's clock stands still, so every byte beyond the first burst is waited for."""
    throttle = Throttle(50_000_000, clock=lambda: 0.0)
    arrival = open_arrival(tmp_path, "sha256:" + "1" * 64, len(SMALL))
    waited = []
    throttle_take = throttle.take
    throttle.take = lambda n: waited.append(throttle_take(n)) or 0.0
    file = remote(server.url("/small"), SMALL)
    drain(fetch(file, arrival, Manner(patience=QUICK, throttles=(throttle,))))
    arrival.close()
    assert max(waited) == pytest.approx(len(SMALL) / 50_000_000)


def test_a_file_without_a_promise_that_changes_begins_anew(server, tmp_path):
    file = remote(server.url(PATH), CONTENT, sha256=None)
    other = noise(len(CONTENT), seed=9)
    server.faults[PATH] = [Fault("drop", after=3 * MIB)]
    arrival = open_arrival(tmp_path, file.location, file.n_bytes, is_kept=False)
    steps = fetch(file, arrival, Manner(n_ranges=1, patience=QUICK))
    for step in steps:
        if step.n_done:
            server.files[PATH] = other
            break
    _, (digest, _) = drain(steps)
    content = arrival.path.read_bytes()
    arrival.close()
    assert content in (CONTENT, other)
    assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_another_etag_for_the_promised_bytes_changes_nothing(server, tmp_path):
    server.faults[PATH] = [Fault("drop", after=MIB, times=2)]
    server.etags[PATH] = '"one"'
    file = remote(server.url(PATH), CONTENT)
    arrival = open_arrival(tmp_path, f"sha256:{file.sha256}", file.n_bytes)
    steps = fetch(file, arrival, Manner(n_ranges=1, patience=QUICK))
    next(steps)
    server.etags[PATH] = '"two"'
    _, (digest, _) = drain(steps)
    arrival.close()
    assert digest == f"sha256:{file.sha256}"
    assert server.n_served(PATH) == len(CONTENT)
