"""Deadlines, against a list that is looked through."""

import math

from hypothesis import given, strategies as st

from runner.engine.deadlines import Deadlines

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abcdef"), st.floats(0, 100)),
        st.tuples(st.just("discard"), st.sampled_from("abcdef"), st.just(0.0)),
        st.tuples(st.just("due"), st.just(""), st.floats(0, 100)),
    )
)


@given(ACTIONS)
def test_each_deadline_passes_once_in_order_and_not_before_its_time(actions):
    deadlines, known, added = Deadlines(), {}, set()
    for action, name, at in actions:
        if action == "add" and name not in added:  # ids are used once
            added.add(name)
            known[name] = at
            deadlines.add(name, at)
        elif action == "discard":
            known.pop(name, None)
            deadlines.discard(name)
        elif action == "due":
            passed = sorted((s, n) for n, s in known.items() if s <= at)
            assert deadlines.due(at) == [n for _, n in passed]
            known = {n: s for n, s in known.items() if s > at}
        assert len(deadlines) == len(known)
        assert deadlines.next_s == min(known.values(), default=math.inf)
