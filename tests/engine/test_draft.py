"""Guesses: they continue a text as it went on before, and are made where they pay."""

import pytest
from hypothesis import given, strategies as st

from runner.engine.costs import StepCosts
from runner.engine.draft import MAX_GUESS, Drafter, Lookup, Odds, Offer, choose

TEXTS = st.lists(st.integers(0, 3) | st.sampled_from([256, 65536, 2**31 - 1]), max_size=60)


def test_a_lookup_guesses_what_followed_the_same_words():
    """The last place where the end of the text stood tells how it goes on."""
    lookup = Lookup([1, 2, 3, 4, 5, 6, 9, 1, 2, 3])
    assert lookup.run == 3
    assert lookup.guess(3) == [4, 5, 6]
    assert lookup.take(4) is True
    assert lookup.run == 4
    assert lookup.take(7) is False
    assert lookup.run == 0
    assert lookup.guess(3) == []


def test_a_repetition_is_guessed_to_go_on():
    """A guess longer than what was said goes round."""
    assert Lookup([5, 1, 2, 3, 1, 2, 3]).guess(8) == [1, 2, 3, 1, 2, 3, 1, 2]


@given(TEXTS, TEXTS, st.integers(0, 40))
def test_a_lookup_agrees_with_a_search_by_hand(beginning, rest, n):
    """Grown token by token it finds a place whose words are those at the end of the text."""
    lookup = Lookup(beginning)
    for token in rest:
        expected = lookup.guess(1)
        assert lookup.take(token) == (token == expected[0] if expected else None)
    tokens = beginning + rest
    places = [
        at for at in range(3, len(tokens)) if tokens[at - 3 : at] == tokens[len(tokens) - 3 :]
    ]
    assert bool(lookup.run) == bool(places), "a place of three tokens is found if there is one"
    guess = lookup.guess(n)
    assert len(guess) == (n if places else 0)
    if guess:
        assert any(
            tokens[at : at + n] == guess[: len(tokens) - at]
            and all(tokens[at - i] == tokens[len(tokens) - i] for i in range(1, lookup.run + 1))
            for at in places
            if at >= lookup.run
        )


@given(st.lists(TEXTS, max_size=6), st.booleans())
def test_a_drafter_reads_a_text_in_pieces_as_in_one(pieces, shifts):
    """What it expects hangs on the text alone, also when its beginning was dropped."""
    drafter, text, n_shifted = Drafter(), [], 0
    for piece in pieces:
        text += piece
        drafter.follow(text, n_shifted)
        if shifts and len(text) > 8:
            del text[2:5]
            n_shifted += 3
            drafter.follow(text, n_shifted)
    fresh = Lookup(text)
    assert bool(drafter.run) == bool(fresh.run)
    assert len(drafter.guess(5)) == len(fresh.guess(5))


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=300))
def test_odds_stay_between_never_and_always(seen):
    """Whatever is learned, a share is a share."""
    odds = Odds()
    for run, is_right in seen:
        odds.learn(run, is_right=is_right)
    assert all(0 <= odds.right(run) <= 1 for run in range(50))


def test_odds_follow_what_happens():
    """A text that breaks off every repetition is not guessed to go on."""
    odds = Odds()
    for _ in range(200):
        odds.learn(3, is_right=False)
        odds.learn(40, is_right=True)
    assert odds.right(3) < 0.05
    assert odds.right(40) > 0.99
    assert odds.right(9) == pytest.approx(0.8)


@given(st.lists(st.tuples(st.integers(1, 64), st.floats(1e-4, 1)), max_size=40), st.integers(1, 80))
def test_costs_are_between_what_was_measured(seen, n):
    """A size between two measured ones costs no less than the smaller."""
    costs = StepCosts()
    for size, seconds in seen:
        costs.learn(size, seconds)
    assert costs.seconds(n) > 0
    smaller = [size for size, _ in seen if size <= n]
    larger = [size for size, _ in seen if size >= n]
    if smaller and larger:
        assert costs.seconds(n) >= costs.seconds(max(smaller)) * 0.999


def test_costs_forget_what_is_long_ago():
    """Slow steps, when the machine was busy, do not stand for ever."""
    costs = StepCosts()
    costs.learn(1, 0.01)
    for _ in range(40):
        costs.learn(17, 5.0)
    slow = costs.seconds(17)
    for _ in range(401):
        costs.learn(1, 0.01)
    assert costs.seconds(17) < slow / 5


@given(st.floats(0.01, 1000))
def test_one_slow_step_changes_little_and_many_do(seconds):
    """A step that something else held up is not taken for what such steps take."""
    costs = StepCosts()
    for _ in range(20):
        costs.learn(9, 0.01)
    costs.learn(9, seconds)
    assert costs.seconds(9) <= 0.01 * 1.2
    for _ in range(150):
        costs.learn(9, seconds)
    assert costs.seconds(9) == pytest.approx(seconds, rel=0.05)


def an_offer(chance: float, n: int = MAX_GUESS, credit_s: float = 1e9) -> Offer:
    expected = [0.0]
    for i in range(n):
        expected.append(expected[-1] + chance ** (i + 1))
    return Offer(tuple(expected), credit_s)


def processor() -> StepCosts:
    costs = StepCosts()
    costs.learn(1, 0.01)
    return costs


def test_sure_guesses_are_long_and_doubtful_ones_are_not_made():
    """On a processor only what is nearly certain is worth computing beforehand."""
    one = {"n_tokens": 1, "n_streams": 1, "n_room": 100, "costs": processor()}
    assert choose([an_offer(0.99)], **one)[0] >= 16
    assert choose([an_offer(0.6)], **one) == [0]
    flat = StepCosts()
    for n in (1, 4, 9, 17, 33) * 20:
        flat.learn(n, 0.01)
    assert choose([an_offer(0.6)], **one | {"costs": flat})[0] >= 4


def test_a_sequence_loses_no_more_than_its_credit():
    """With little credit the first guesses are short, with none there are none."""
    one = {"n_tokens": 1, "n_streams": 1, "n_room": 100, "costs": processor()}
    assert 1 <= choose([an_offer(0.99, credit_s=0.03)], **one)[0] <= 4
    assert choose([an_offer(0.99, credit_s=0.0)], **one) == [0]


def test_guesses_do_not_slow_the_streams_of_others():
    """Where a stream has none of the guesses, they must cost it nothing."""
    costs = processor()
    two = {"n_tokens": 2, "n_streams": 2, "n_room": 100, "costs": costs}
    assert choose([an_offer(0.99)], **two) == [0]
    assert min(choose([an_offer(0.99), an_offer(0.99)], **two)) >= 8


def test_a_text_that_has_agreed_for_long_may_lose_more():
    """Who copies a text begins with long guesses; who met three words by chance does not."""
    text = list(range(1, 60))
    copied, met = Drafter(), Drafter()
    copied.follow([*text, *text[:40]])
    met.follow([*text, 7, 8, 9])
    costs = processor()
    assert copied.credit_s(40, costs) > 2 * met.credit_s(40, costs)


@given(
    st.lists(
        st.builds(an_offer, st.floats(0, 1), st.integers(0, 32), st.floats(-1, 1)), max_size=5
    ),
    st.integers(0, 3),
    st.integers(-3, 90),
    st.lists(st.tuples(st.integers(1, 64), st.floats(1e-4, 1)), max_size=8),
)
def test_a_choice_fits_and_pays(offers, n_silent, n_room, seen):
    """Guesses fit into the step, are no longer than offered, and promise more than they cost."""
    costs = StepCosts()
    for size, seconds in seen:
        costs.learn(size, seconds)
    n_streams = len(offers) + n_silent
    sizes = choose(offers, n_tokens=n_streams, n_streams=n_streams, n_room=n_room, costs=costs)
    assert len(sizes) == len(offers)
    assert sum(sizes) <= max(0, n_room)
    step_s, base_s = costs.seconds(n_streams + sum(sizes)), costs.seconds(max(1, n_streams))
    slower = step_s / base_s
    assert not any(sizes) or step_s <= max(0.2, 4 * base_s), "nobody waits long"
    for size, offer in zip(sizes, offers, strict=True):
        assert 0 <= size <= offer.n_most
        if size:
            assert 1 + offer.expected[size] >= slower
