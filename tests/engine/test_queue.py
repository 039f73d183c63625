"""Who is next, by class, fairness and arrival; and how prompts share a step."""

from hypothesis import given, settings, strategies as st

from runner.domain.request import Priority
from runner.engine import queue
from runner.engine.queue import MAX_OVERTAKEN, QUANTUM, Queue, deal, youngest_of_lowest
from tests.engine.sequences import new_sequence

INTERACTIVE, API, BATCH = Priority


def names(seqs):
    return [seq.request_id for seq in seqs]


def queued(*seqs):
    made = Queue()
    for seq in seqs:
        made.add(seq)
    return made


def test_classes_go_before_arrival():
    made = queued(
        new_sequence("batch", 1, 2, priority=BATCH),
        new_sequence("api", 1, 2),
        new_sequence("chat", 1, 2, priority=INTERACTIVE),
    )
    assert names(made.in_order()) == ["chat", "api", "batch"]


def test_equals_are_served_in_order_of_arrival():
    made = queued(*(new_sequence(str(i), 1, 2, client=f"c{i % 3}") for i in range(9)))
    assert names(made.in_order()) == [str(i) for i in range(9)]


def test_the_client_that_was_served_least_is_next():
    busy = new_sequence("busy", 1, 9, client="busy")
    made = queued(busy)
    made.let_in(busy)
    busy.account.n_served = 10 * QUANTUM
    quiet = new_sequence("quiet", 1, 9, client="quiet")
    quiet_2 = new_sequence("quiet 2", 1, 9, client="quiet")
    made.add(quiet)  # level with the least served that is there: the busy one
    made.let_in(quiet)
    busy.account.n_served += QUANTUM
    made.add(new_sequence("busy 2", 1, 9, client="busy"))
    made.add(quiet_2)
    assert names(made.in_order()) == ["quiet 2", "busy 2"]


def test_time_without_requests_saves_nothing_up():
    made = Queue()
    early = new_sequence("early", 1, 9, client="early")
    busy = new_sequence("busy", 1, 9, client="busy")
    made.add(early)
    made.add(busy)
    made.end(early)
    busy.account.n_served = 100 * QUANTUM
    again = new_sequence("again", 1, 9, client="early")
    made.add(again)
    assert again.account.n_served == busy.account.n_served


def test_a_client_keeps_its_debt_between_two_requests():
    made = Queue()
    first = new_sequence("first", 1, 9, client="heavy")
    other = new_sequence("other", 1, 9, client="light")
    made.add(first)
    made.add(other)
    first.account.n_served = 5 * QUANTUM
    made.end(first)
    second = new_sequence("second", 1, 9, client="heavy")
    made.add(second)
    assert second.account.n_served == 5 * QUANTUM


def test_when_nobody_is_left_all_debts_are_forgotten():
    made = Queue()
    first = new_sequence("first", 1, 9, client="a")
    made.add(first)
    first.account.n_served = 5 * QUANTUM
    made.end(first)
    second = new_sequence("second", 1, 9, client="a")
    made.add(second)
    assert second.account.n_served == 0


def test_who_had_to_give_way_comes_before_others_of_its_class():
    first, second = new_sequence("first", 1, 9), new_sequence("second", 1, 9)
    chat = new_sequence("chat", 1, 9, priority=INTERACTIVE)
    made = queued(first, second)
    made.let_in(second)
    made.put_back(second)
    made.add(chat)
    assert names(made.in_order()) == ["chat", "second", "first"]


def test_newcomers_without_end_do_not_keep_a_heavy_client_waiting_for_ever():
    """The first one that it has waiting gets a turn; the others of it do not come along."""
    made = Queue()
    running = new_sequence("running", 1, 9, client="heavy")
    light = new_sequence("light", 1, 9, client="light")
    made.add(running)
    made.add(light)
    made.let_in(running)
    running.account.n_served = 100 * QUANTUM
    for i in range(3):
        made.add(new_sequence(f"heavy {i}", 1, 9, client="heavy"))
    turns = []
    for i in range(3 * MAX_OVERTAKEN):
        made.add(new_sequence(f"new {i}", 1, 9, client=f"new {i}"))
        seq = made.in_order()[0]
        turns.append(seq.request_id)
        made.let_in(seq)
        made.check()
    at = [turns.index(f"heavy {i}") for i in range(2)]
    assert at[0] <= MAX_OVERTAKEN + 1
    assert MAX_OVERTAKEN <= at[1] - at[0] <= MAX_OVERTAKEN + 1


def test_accounts_of_clients_that_left_are_forgotten_in_time(monkeypatch):
    monkeypatch.setattr(queue, "_MAX_ACCOUNTS", 10)
    made = queued(new_sequence("stays", 1, 9, client="stays"))
    for i in range(100):
        seq = new_sequence(str(i), 1, 9, client=f"c{i}")
        made.add(seq)
        made.end(seq)
    made.check()
    assert len(made._accounts) <= 10


def test_the_youngest_of_the_lowest_class_gives_way_first():
    seqs = [
        new_sequence(f"{priority}{i}", 1, 9, priority=priority)
        for i in range(2)
        for priority in Priority
    ]
    queued(*seqs)
    assert names(youngest_of_lowest(seqs)) == [
        "batch1",
        "batch0",
        "api1",
        "api0",
        "interactive1",
        "interactive0",
    ]


def prompts(*sizes, clients=None, priorities=None):
    seqs = [
        new_sequence(
            str(i),
            size,
            size + 1,
            client=clients[i] if clients else f"c{i}",
            priority=priorities[i] if priorities else API,
        )
        for i, size in enumerate(sizes)
    ]
    queued(*seqs)
    return seqs


def dealt(seqs, n_tokens):
    return [(seq.request_id, n) for seq, n in deal(seqs, n_tokens)]


def test_a_short_prompt_is_not_held_up_by_a_long_one():
    assert dealt(prompts(2000, 20), 100) == [("1", 20), ("0", 80)]


def test_short_prompts_leave_the_oldest_a_quarter():
    assert dealt(prompts(2000, 90, 90, 90), 100) == [("1", 75), ("0", 25)]


def test_one_client_with_many_prompts_does_not_come_before_anothers_first():
    seqs = prompts(500, 10, 10, 10, 60, clients=["x", "a", "a", "a", "b"])
    assert dealt(seqs, 100) == [("1", 10), ("4", 60), ("0", 30)]


def test_prompts_of_a_higher_class_come_first():
    assert dealt(prompts(500, 90, priorities=[BATCH, INTERACTIVE]), 100) == [("1", 90), ("0", 10)]


def test_equal_prompts_are_computed_one_after_the_other():
    assert dealt(prompts(50, 50, 50), 60) == [("0", 50), ("1", 10)]


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.integers(2, 50), st.sampled_from("abc"), st.sampled_from(Priority)), max_size=9
    ),
    st.integers(0, 120),
)
def test_all_that_can_be_dealt_is_dealt(sizes, n_tokens):
    seqs = prompts(
        *(size for size, _, _ in sizes),
        clients=[client for _, client, _ in sizes],
        priorities=[priority for _, _, priority in sizes],
    )
    shares = deal(seqs, n_tokens)
    assert sum(n for _, n in shares) == min(n_tokens, sum(seq.n_pending for seq in seqs))
    assert all(0 < n <= seq.n_pending for seq, n in shares)
    assert len({seq for seq, _ in shares}) == len(shares)
    served = dict(shares)
    if seqs and n_tokens >= 4:
        oldest = min(seqs, key=lambda seq: (seq.rank, seq.arrival))
        assert served[oldest] >= min(oldest.n_pending, n_tokens // 4)
    for seq in seqs:  # a lower class has something only when the higher ones have all they want
        if seq in served:
            assert all(
                served.get(other) == other.n_pending for other in seqs if other.rank < seq.rank
            )
