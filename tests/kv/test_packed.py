"""Packed tokens against plain lists."""

from hypothesis import given, strategies as st

from runner.kv.packed import N_BLOCK, block_name, n_common, n_tokens, pack, text_name, unpack

TOKENS = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=80)
#: Few kinds of tokens that share bytes, so that texts are alike for a while.
ALIKE = st.lists(st.sampled_from([0, 1, 256, 257, 65536]), max_size=80)


@given(TOKENS)
def test_what_is_packed_is_unpacked(tokens):
    assert unpack(pack(tokens)) == tokens
    assert n_tokens(pack(tokens)) == len(tokens)


@given(ALIKE, ALIKE, ALIKE)
def test_the_common_beginning_is_that_of_the_lists(front, a, b):
    a, b = front + a, front + b
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    assert n_common(pack(a), pack(b)) == n


@given(st.lists(st.integers(0, 2), min_size=N_BLOCK, max_size=N_BLOCK + 5), ALIKE, ALIKE)
def test_texts_with_the_same_first_block_have_one_name_for_it(front, a, b):
    assert block_name(pack(front + a)) == block_name(pack(front + b)) != ""
    assert (text_name(pack(front + a)) == text_name(pack(front + b))) == (a == b)


@given(st.lists(st.integers(0, 9), max_size=N_BLOCK - 1))
def test_a_text_shorter_than_a_block_has_no_name_for_its_beginning(tokens):
    assert block_name(pack(tokens)) == ""
