"""An answer that may outgrow its context: each token is drawn from what is left, and no other."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings, strategies as st

from runner.domain.event import FinishReason
from runner.domain.options import SamplingParams
from runner.domain.request import Terms
from runner.engine.limits import limits_of
from runner.protocol.messages import Generate, Outcome
from tests.engine.running import Running
from tests.engine.sequences import new_sequence
from tests.fakes.backend import FakeBackend, FakeVocabulary, next_token

N_CTX = 48
ON = SamplingParams(temperature=0, ignore_eos=True, seed=0)


@given(st.integers(1, 40), st.integers(2, 60), st.integers(0, 30))
def test_a_shift_drops_half_of_what_need_not_stay_and_the_rest_is_to_be_computed(
    n_prompt, n_more, n_keep
):
    seq = new_sequence("", n_prompt, n_prompt + n_more)
    seq.n_keep, seq.n_draw_max = min(n_keep, n_prompt), 1000
    while not seq.is_full:
        seq.n_computed = len(seq.tokens)
        assert seq.take(len(seq.tokens), b"x", is_eog=False) == ("x", None)
    before = list(seq.tokens)
    seq.shift()
    assert seq.tokens[: seq.n_keep] == before[: seq.n_keep]
    n_left = len(seq.tokens) - seq.n_keep
    assert seq.tokens[seq.n_keep :] == before[len(before) - n_left :]
    assert (len(before) - seq.n_keep) // 2 <= n_left <= (len(before) - seq.n_keep + 1) // 2
    assert (seq.n_generated, seq.n_computed) == (n_more, 0)
    assert seq.n_shifted == len(before) - len(seq.tokens)


def expected(request: Generate) -> tuple[list[int], int]:
    """All tokens that are left at the end, and how many went."""
    tokens = FakeVocabulary().tokenize(request.prompt, parse_special=True)
    limits = limits_of(request, len(tokens), N_CTX)
    n_prompt, n_shifted = len(tokens), 0
    for drawn in range(1, request.max_tokens + 1):
        tokens.append(next_token(tokens, ON))
        if n_prompt + drawn >= limits.n_limit and limits.n_keep is None:
            break
        if len(tokens) >= N_CTX and drawn < request.max_tokens:
            n = max(1, (len(tokens) - limits.n_keep) // 2)
            del tokens[limits.n_keep : limits.n_keep + n]
            n_shifted += n
    return tokens, n_shifted


REQUESTS = st.builds(
    Generate,
    st.just(""),
    st.just(ON),
    prompt=st.text("ab", min_size=1, max_size=40),
    max_tokens=st.integers(1, 150),
    wants_tokens=st.just(True),
    shifts=st.booleans(),
    n_keep=st.integers(-1, 60),
    terms=st.builds(Terms, is_deterministic=st.booleans()),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    requests=st.lists(REQUESTS, min_size=1, max_size=6),
    n_cells=st.integers(N_CTX, 3 * N_CTX),
    n_cold_max=st.integers(0, 1),
    n_host_bytes=st.sampled_from([0, 5000]),
)
def test_whoever_runs_beside_it_an_answer_goes_on_from_what_is_left(
    requests, n_cells, n_cold_max, n_host_bytes
):
    """Beside others that begin alike, with too few cells, in either kind of cache."""
    backend = FakeBackend(
        n_ctx=N_CTX,
        n_cells=n_cells,
        n_seq_max=3,
        n_cold_max=n_cold_max,
        can_be_cut=bool(n_cold_max),
    )
    with Running(FakeVocabulary(), backend, n_host_bytes=n_host_bytes) as running:
        named = [
            Generate(
                request_id=f"r{i}",
                **{f: getattr(r, f) for f in r.__struct_fields__ if f != "request_id"},
            )
            for i, r in enumerate(requests)
        ]
        for request in named:
            running.send(request)
        for request in named:
            outcome = running.ending(request.request_id)
            assert isinstance(outcome, Outcome)
            tokens, n_shifted = expected(request)
            assert (list(outcome.tokens), outcome.n_shifted) == (tokens, n_shifted)
            assert outcome.reason is FinishReason.LENGTH
    backend.check_empty()
    backend.deterministic().check_empty()
