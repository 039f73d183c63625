"""Which inputs share a step, and what becomes of their vectors."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given, strategies as st

from runner.domain.vectors import Pooling
from runner.engine.embed import EmbedQueue, Item, Job, finish, normalized, pool

texts = st.lists(st.integers(1, 40), min_size=1, max_size=8)  # tokens of each input
jobs = st.lists(texts, min_size=1, max_size=6)
pooled = st.sampled_from([Pooling.MEAN, Pooling.CLS, Pooling.LAST, Pooling.NONE])


def job_of(name: str, lengths: list[int], pooling: Pooling = Pooling.LAST) -> Job:
    return Job(name, deque(Item([7] * n, i) for i, n in enumerate(lengths)), pooling)


def run(queue: EmbedQueue, n_max: int, n_seq_max: int) -> list[list[tuple[str, int, int]]]:
    """Compute all; returns for each step the request, the input and the tokens of each piece."""
    steps = []
    while not queue.is_idle:
        pieces = queue.step(n_max)
        assert pieces, "there is something to do, and nothing is done"
        ids = [piece.item.seq_id for piece in pieces]
        assert len(set(ids)) == len(ids)
        assert all(0 <= seq_id < n_seq_max for seq_id in ids)
        steps.append([(p.job.request_id, p.item.index, p.n) for p in pieces])
        queue.commit(pieces, [np.ones((p.n, 2), np.float32) for p in pieces])
    return steps


@given(jobs, st.integers(1, 50), st.integers(1, 4), st.booleans())
def test_every_input_is_computed_once_within_the_limits(asked, n_max, n_seq_max, can_split):
    queue = EmbedQueue(n_batch=40, n_seq_max=n_seq_max, can_split=can_split)
    made = [job_of(str(i), lengths) for i, lengths in enumerate(asked)]
    for job in made:
        queue.add(job)
    steps = run(queue, n_max, n_seq_max)

    assert all(job.is_done for job in made)
    total: dict[tuple[str, int], int] = {}
    for step in steps:
        assert len(step) <= n_seq_max
        n_tokens = sum(n for _, _, n in step)
        assert n_tokens <= min(n_max, 40) or (not can_split and len(step) == 1)
        for name, index, n in step:
            total[name, index] = total.get((name, index), 0) + n
            assert can_split or n == asked[int(name)][index], "an encoder's input was cut"
    assert total == {(str(j), i): n for j, ns in enumerate(asked) for i, n in enumerate(ns)}


def test_a_small_request_does_not_wait_for_a_large_one():
    queue = EmbedQueue(n_batch=8, n_seq_max=4, can_split=True)
    queue.add(job_of("large", [4] * 100))
    queue.add(job_of("small", [4]))
    steps = run(queue, 8, 4)
    assert steps[0] == [("large", 0, 4), ("small", 0, 4)]


def test_a_request_that_is_removed_leaves_the_others_alone():
    queue = EmbedQueue(n_batch=8, n_seq_max=4, can_split=True)
    kept = job_of("kept", [3, 3])
    queue.add(job_of("gone", [20, 5]))
    queue.add(kept)
    first = queue.step(8)
    queue.commit(first, [np.ones((p.n, 2), np.float32) for p in first])
    removed = queue.remove("gone")
    assert removed is not None
    assert removed[1] == first[0].item.seq_id, "what it had begun must be freed"
    assert queue.remove("gone") is None
    steps = run(queue, 8, 4)
    assert {name for step in steps for name, _, _ in step} == {"kept"}
    assert kept.is_done


@given(st.integers(1, 12), st.data(), pooled)
def test_a_text_in_pieces_comes_to_the_same_as_whole(n, data, pooling):
    vectors = np.arange(n * 3, dtype=np.float32).reshape(n, 3) - 7
    cut = data.draw(st.integers(0, n))
    job = job_of("r", [n], pooling)
    whole, pieces = Item([7] * n, 0), Item([7] * n, 0)
    whole.pooled = pool(pooling, None, vectors)
    for part in (vectors[:cut], vectors[cut:]):
        if len(part):
            pieces.pooled = pool(pooling, pieces.pooled, part)
    np.testing.assert_allclose(finish(job, pieces), finish(job, whole), rtol=1e-5, atol=1e-6)


def test_each_pooling_is_what_its_name_says():
    vectors = np.array([[3, 4], [0, 2], [6, 0]], np.float32)
    expected = {
        Pooling.MEAN: [[3, 2]],
        Pooling.CLS: [[3, 4]],
        Pooling.LAST: [[6, 0]],
        Pooling.NONE: [[3, 4], [0, 2], [6, 0]],
    }
    for pooling, rows in expected.items():
        job = job_of("r", [3], pooling)
        job.normalizes = False
        item = Item([1, 2, 3], 0, pooled=pool(pooling, None, vectors))
        np.testing.assert_allclose(finish(job, item), rows)


def test_a_vector_is_cut_before_it_is_scaled():
    job = job_of("r", [1])
    job.n_dimensions = 2
    item = Item([1], 0, pooled=np.array([[3, 4, 100]], np.float32))
    np.testing.assert_allclose(finish(job, item), [[0.6, 0.8]], rtol=1e-6)


def test_a_vector_of_zeros_stays_one():
    np.testing.assert_array_equal(normalized(np.zeros((1, 3), np.float32)), [[0, 0, 0]])


def test_the_scores_of_a_reranker_are_left_as_they_are():
    job = job_of("r", [2], Pooling.RANK)
    item = Item([1, 2], 0, pooled=pool(Pooling.RANK, None, np.array([[-7.5]], np.float32)))
    assert finish(job, item).tolist() == [[-7.5]]


@pytest.mark.parametrize("n_max", [0, -3])
def test_a_step_has_at_least_one_token(n_max):
    queue = EmbedQueue(n_batch=8, n_seq_max=1, can_split=True)
    queue.add(job_of("r", [2]))
    assert [piece.n for piece in queue.step(n_max)] == [1]


@given(st.lists(st.tuples(texts, st.integers(0, 2)), min_size=1, max_size=6))
def test_a_higher_class_begins_before_a_lower_one(asked):
    queue = EmbedQueue(n_batch=40, n_seq_max=1, can_split=False)
    ranks = {}
    for number, (lengths, rank) in enumerate(asked):
        job = job_of(str(number), lengths)
        job.rank = ranks[job.request_id] = rank
        queue.add(job)
    order = [ranks[name] for step in run(queue, 40, 1) for name, _, _ in step]
    assert order == sorted(order)


def test_the_list_has_each_request_once_and_what_is_half_done_first():
    queue = EmbedQueue(n_batch=8, n_seq_max=4, can_split=True)
    first, second = job_of("first", [20, 1]), job_of("second", [1])
    queue.add(first)
    queue.add(second)
    assert queue.jobs == [first, second]
    queue.step(8)
    assert queue.jobs == [first, second]
    queue.remove("first")
    assert queue.jobs == [second]
