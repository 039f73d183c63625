"""Classes and room: who is let in, who gives way, and what that costs."""

from hypothesis import given, settings, strategies as st

from runner.domain.request import Priority
from runner.engine.queue import MAX_OVERTAKEN, QUANTUM
from runner.engine.scheduler import LOOK_AHEAD, MARGIN
from tests.engine.sequences import new_sequence
from tests.engine.stepping import new_engine

INTERACTIVE, API, BATCH = Priority


def own(name, n_prompt, n_limit, first, **more):
    """A sequence that begins like no other."""
    seq = new_sequence(name, n_prompt, n_limit, **more)
    seq.tokens[:] = range(first, first + n_prompt)
    return seq


def run_out(engine):
    while engine.live:
        engine.step()


def test_a_large_one_that_does_not_fit_lets_smaller_ones_pass():
    engine = new_engine(n_batch=64, n_cells=200)
    for i, n_prompt in enumerate((90, 90, 1)):
        engine.add(new_sequence(str(i), n_prompt, n_prompt + MARGIN))
    engine.step()
    assert engine.running == ["0", "2"]


def test_a_large_one_is_let_in_after_so_many_small_ones():
    """Small ones come without end, and still it runs."""
    engine = new_engine(n_batch=64, n_cells=400, n_seq_max=4)
    engine.add(own("first", 100, 110, 10_000))
    engine.step()
    large = own("large", 300, 310, 20_000)
    engine.add(large)
    n_small = 0
    while large.seq_id < 0:
        while len(engine.live) < 5:
            n_small += 1
            engine.add(own(f"small {n_small}", 90, 93, 1000 * n_small))
        engine.step()
        assert n_small <= MAX_OVERTAKEN + 10
    assert n_small >= MAX_OVERTAKEN
    run_out(engine)


def test_no_more_than_a_few_that_do_not_fit_are_tried():
    engine = new_engine(n_batch=64, n_cells=400, n_seq_max=4)
    engine.add(own("runs", 200, 390, 0))
    engine.step()
    for i in range(LOOK_AHEAD):
        engine.add(own(f"large {i}", 350, 390, 1000 * i + 1000))
    engine.add(own("small", 5, 10, 90_000))
    engine.step()
    assert engine.running == ["runs"]


def test_a_higher_class_takes_the_place_of_the_youngest_of_the_lowest():
    engine = new_engine(n_batch=16, n_cells=512, n_seq_max=3)
    seqs = [
        own("api", 10, 60, 100),
        own("old batch", 10, 60, 200, priority=BATCH),
        own("young batch", 10, 60, 300, priority=BATCH),
    ]
    for seq in seqs:
        engine.add(seq)
    while any(seq.n_generated < 3 for seq in seqs):
        engine.step()
    chat = own("chat", 10, 30, 400, priority=INTERACTIVE)
    engine.add(chat)
    engine.step()
    assert engine.running == ["api", "old batch", "chat"]
    n_before, kept = seqs[2].n_generated, list(seqs[2].tokens)
    while chat in engine.live:
        engine.step()
    engine.step()
    assert "young batch" in engine.running
    assert engine.n_restored == len(kept) - 1, "all but the token drawn last"
    assert seqs[2].n_generated == n_before + 1
    run_out(engine)
    assert seqs[2].tokens[: len(kept)] == kept
    # Every token once; the last one of each is drawn and never computed.
    assert engine.n_computed == 3 * 59 + 29


def test_without_memory_for_its_state_it_is_computed_again():
    engine = new_engine(n_batch=16, n_cells=512, n_seq_max=1, saves=False)
    batch = own("batch", 10, 60, 100, priority=BATCH)
    engine.add(batch)
    for _ in range(20):
        engine.step()
    engine.add(own("chat", 10, 30, 400, priority=INTERACTIVE))
    run_out(engine)
    assert engine.n_restored == 0
    assert engine.n_computed > 59 + 29
    assert len(batch.tokens) == 60


def test_cells_are_a_reason_to_give_way_and_no_more_give_way_than_it_takes():
    engine = new_engine(n_batch=64, n_cells=300, n_seq_max=8)
    for i in range(3):
        engine.add(own(f"batch {i}", 30, 90, 1000 * i, priority=BATCH))
    engine.step()
    assert len(engine.running) == 3
    engine.add(own("chat", 150, 230, 9000, priority=INTERACTIVE))
    engine.step()
    assert engine.running == ["batch 0", "batch 1", "chat"]
    run_out(engine)


def test_nobody_gives_way_in_vain():
    """What would not fit even without all lower ones disturbs none of them."""
    engine = new_engine(n_batch=64, n_cells=300, n_seq_max=8)
    engine.add(own("chat", 200, 290, 0, priority=INTERACTIVE))
    for _ in range(4):
        engine.step()
    engine.add(own("batch", 5, 20, 5000, priority=BATCH))
    engine.step()
    engine.add(own("large chat", 150, 290, 9000, priority=INTERACTIVE))
    engine.step()
    assert engine.running == ["chat", "batch"]
    run_out(engine)


def test_equals_do_not_disturb_each_other():
    engine = new_engine(n_batch=16, n_cells=512, n_seq_max=1)
    engine.add(own("first", 10, 60, 0, client="a"))
    engine.step()
    engine.add(own("second", 10, 60, 1000, client="b"))
    for _ in range(30):
        engine.step()
        assert engine.running == ["first"]


def test_who_gives_way_for_want_of_cells_is_of_the_lowest_class():
    engine = new_engine(n_batch=16, n_cells=160, n_seq_max=4)
    batch = own("batch", 8, 150, 0, priority=BATCH)
    chat = own("chat", 8, 150, 1000, priority=INTERACTIVE)
    engine.add(batch)
    engine.step()
    engine.add(chat)
    while chat in engine.live:
        engine.step()
        assert chat.seq_id >= 0 or chat not in engine.live, "the older one gave way, not it"
    assert batch.n_preempted
    run_out(engine)
    assert len(batch.tokens) == 150


def test_nobody_waits_for_a_beginning_that_a_lower_class_computes():
    """It would wait for whoever the lower class waits for."""
    engine = new_engine(n_batch=16, n_cells=1024, n_seq_max=4, n_cold_max=1)
    engine.add(new_sequence("batch", 200, 210, priority=BATCH))
    engine.step()
    engine.add(new_sequence("chat", 200, 210, priority=INTERACTIVE))
    engine.add(new_sequence("same class", 200, 210, priority=BATCH))
    engine.step()
    assert engine.running == ["batch", "chat"]
    run_out(engine)


def test_a_state_that_others_hold_is_not_brought_back_twice():
    """Eight that share a long beginning: a second copy of it would slow all of them."""
    engine = new_engine(n_batch=256, n_cells=2048, n_seq_max=2, n_cold_max=1)
    first, second = (
        new_sequence("first", 200, 300),
        new_sequence("second", 200, 300, priority=BATCH),
    )
    second.tokens[190:] = range(5000, 5010)
    engine.add(first)
    engine.step()
    engine.add(second)
    for _ in range(5):
        engine.step()
    engine.add(own("chat", 10, 20, 9000, priority=INTERACTIVE))
    run_out(engine)
    assert second.n_preempted == 1
    assert engine.n_restored == 0
    assert engine.n_computed < 299 + 299 + 19 - 150


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30)), min_size=2, max_size=12),
    st.integers(1, 3),
)
def test_within_a_class_no_client_gets_far_ahead_of_one_that_waits(requests, n_seq_max):
    """However many one client sends: service differs by what runs anyway and a quantum."""
    engine = new_engine(n_batch=64, n_cells=4096, n_seq_max=n_seq_max)
    for i, (client, n_more) in enumerate(requests):
        engine.add(own(str(i), 200, 200 + n_more, 1000 * i, client=client))
    while engine.live:
        before = {seq for seq in engine.live if seq.seq_id >= 0}
        waiting = [seq for seq in engine.live if seq not in before]
        engine.step()
        passed_over = [seq.account.n_served for seq in waiting if seq.seq_id < 0]
        for seq in engine.scheduler.running:
            if seq not in before and passed_over:
                assert seq.account.n_served <= min(passed_over) + QUANTUM + 64
