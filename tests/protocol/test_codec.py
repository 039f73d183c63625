"""Frames: every message survives the pipe however it is cut; what is no message is refused."""

import struct
from typing import get_args

import pytest
from hypothesis import given, strategies as st

from runner.domain.chat import Message as ChatMessage
from runner.domain.event import FinishReason
from runner.domain.loading import LoadStage
from runner.domain.options import SamplingParams
from runner.domain.running import RequestState
from runner.domain.vectors import Pooling
from runner.protocol.codec import MAX_FRAME, BrokenFrame, FrameReader, encode
from runner.protocol.messages import (
    Abort,
    AskCache,
    CacheState,
    ClearCache,
    Delta,
    Detokenize,
    Embed,
    Embedded,
    Failed,
    Generate,
    Inspect,
    Inspected,
    Load,
    Loaded,
    Loading,
    Message,
    Outcome,
    Place,
    Render,
    Rerank,
    Shutdown,
    Started,
    Step,
    StoredPrompt,
    Tokenize,
    Tokenized,
    UseThreads,
)
from runner.protocol.tasks import (
    Convert,
    Converted,
    Measure,
    Measured,
    Moment,
    Quantize,
    Quantized,
    TensorPlan,
    Time,
    Timed,
    Weights,
)

IDS = st.text(min_size=1, max_size=8)
COUNTS = st.integers(0, 2**40)
FLOATS = st.floats(allow_nan=False)
TOKENS = st.lists(st.integers(0, 2**31 - 1), max_size=8).map(tuple)
SAMPLING = st.builds(
    SamplingParams,
    temperature=FLOATS,
    top_k=COUNTS,
    seed=st.none() | st.integers(0, 2**32 - 1),
    ignore_eos=st.booleans(),
)
TURNS = st.lists(st.builds(ChatMessage, st.text(), st.text()), max_size=3).map(tuple)
OUTCOMES = st.builds(
    Outcome,
    st.sampled_from(FinishReason),
    COUNTS,
    FLOATS,
    FLOATS,
    stop=st.none() | st.text(),
    tokens=TOKENS,
)
DELTAS = st.lists(st.builds(Delta, IDS, st.text(), st.none() | OUTCOMES), max_size=3).map(tuple)
STORED = st.lists(
    st.builds(StoredPrompt, st.text(), COUNTS, COUNTS, FLOATS, FLOATS), max_size=3
).map(tuple)
KINDS = {
    Load: st.builds(Load, IDS, st.text(), COUNTS, COUNTS, COUNTS, n_gpu_layers=st.integers(-1, 99)),
    Loading: st.builds(Loading, IDS, st.sampled_from(LoadStage), FLOATS),
    Loaded: st.builds(Loaded, IDS, COUNTS, COUNTS, COUNTS),
    Generate: st.builds(
        Generate,
        IDS,
        SAMPLING,
        messages=st.none() | TURNS,
        prompt=st.none() | st.text(),
        context=TOKENS,
        stop=st.lists(st.text()).map(tuple),
        max_tokens=st.none() | COUNTS,
        wants_tokens=st.booleans(),
    ),
    Embed: st.builds(
        Embed,
        IDS,
        st.lists(st.text() | TOKENS, max_size=3).map(tuple),
        COUNTS,
        n_dimensions=st.none() | COUNTS,
        truncates=st.booleans(),
        pooling=st.none() | st.sampled_from(Pooling),
    ),
    Rerank: st.builds(Rerank, IDS, st.text(), st.lists(st.text(), max_size=3).map(tuple), COUNTS),
    Embedded: st.builds(
        Embedded,
        IDS,
        st.lists(st.binary(max_size=16), max_size=3).map(tuple),
        COUNTS,
        TOKENS,
        TOKENS,
        FLOATS,
        st.booleans(),
    ),
    Abort: st.builds(Abort, IDS),
    Tokenize: st.builds(Tokenize, IDS, st.text(), st.booleans()),
    Detokenize: st.builds(Detokenize, IDS, TOKENS),
    Tokenized: st.builds(Tokenized, IDS, TOKENS, st.text()),
    AskCache: st.builds(AskCache, IDS),
    ClearCache: st.builds(ClearCache, IDS, st.none() | st.text(), st.booleans()),
    CacheState: st.builds(CacheState, IDS, COUNTS, COUNTS, STORED),
    Shutdown: st.builds(Shutdown),
    Inspect: st.builds(Inspect, IDS),
    Inspected: st.builds(
        Inspected,
        IDS,
        st.lists(
            st.builds(Place, IDS, st.sampled_from(RequestState), COUNTS, COUNTS, COUNTS, COUNTS)
        ).map(tuple),
    ),
    Started: st.builds(Started, IDS, COUNTS, COUNTS),
    Step: st.builds(Step, DELTAS, COUNTS, COUNTS),
    Failed: st.builds(Failed, IDS, st.text(), st.text(), st.text()),
}
WEIGHTS = st.builds(Weights, st.lists(st.text(), max_size=2).map(tuple))
KINDS |= {
    UseThreads: st.builds(UseThreads, COUNTS),
    Quantize: st.builds(
        Quantize,
        st.lists(st.text(), max_size=2).map(tuple),
        st.text(),
        st.text(),
        st.lists(st.tuples(st.text(), st.text()), max_size=2).map(tuple),
    ),
    Quantized: st.builds(
        Quantized,
        st.lists(
            st.builds(TensorPlan, st.text(), st.text(), st.text(), COUNTS, COUNTS), max_size=2
        ).map(tuple),
    ),
    Measure: st.builds(Measure, WEIGHTS, st.none() | WEIGHTS, st.text(), COUNTS),
    Measured: st.builds(Measured, COUNTS, COUNTS, FLOATS, FLOATS, FLOATS, st.tuples(FLOATS)),
    Time: st.builds(Time, WEIGHTS, TOKENS, TOKENS, COUNTS, COUNTS, COUNTS),
    Timed: st.builds(Timed, st.just(()), FLOATS, COUNTS),
    Convert: st.builds(Convert, st.dictionaries(st.text(), st.text()), st.text(), st.text()),
    Converted: st.builds(Converted),
    Moment: st.builds(Moment, st.text(), COUNTS, COUNTS),
}
KINDS[Render] = st.builds(Render, IDS, KINDS[Generate])
MESSAGES = st.lists(st.one_of(*KINDS.values()), max_size=6)


def frame(body: bytes) -> bytes:
    return struct.pack("<I", len(body)) + body


def read(raw: bytes) -> list[Message]:
    return list(FrameReader().feed(raw))


def test_every_message_has_its_strategy_here():
    assert set(KINDS) == set(get_args(Message))


@given(MESSAGES, st.data())
def test_messages_come_out_as_they_went_in_however_the_pipe_cuts_them(messages, data):
    raw = b"".join(map(encode, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    reader = FrameReader()
    received = []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        received += reader.feed(raw[start:end])
    assert received == messages


@given(st.one_of(*KINDS.values()))
def test_a_message_is_whole_with_its_last_byte_and_not_before(message):
    raw = encode(message)
    reader = FrameReader()
    assert list(reader.feed(raw[:-1])) == []
    assert list(reader.feed(raw[-1:])) == [message]


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_a_broken_frame(raw):
    reader = FrameReader()
    for chunk in (raw, frame(raw)):
        try:
            assert all(isinstance(m, get_args(Message)) for m in reader.feed(chunk))
        except BrokenFrame as error:
            assert str(error)
            return


@given(st.one_of(*KINDS.values()), st.data())
def test_a_damaged_message_is_a_message_or_a_broken_frame(message, data):
    body = bytearray(encode(message)[4:])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert all(isinstance(m, get_args(Message)) for m in read(frame(bytes(body))))
    except BrokenFrame as error:
        assert str(error)


NESTED = b"\x91" * 100_000
SHUTDOWN = b"\x82\xa4type\xa8Shutdown\xa1x"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",  # MessagePack's one unused byte
        b"\xc0",
        b"\x81\xa4type\xa4Nope",
        b"\x81\xa4type\xa5Abort",  # without its request_id
        b"\x82\xa4type\xa5Abort\xaarequest_id\x07",
        b"\x82\xa4type\xa5Abort\xaarequest_id\xa1\xff",  # not UTF-8
        SHUTDOWN + NESTED,
        NESTED,
        encode(Shutdown())[4:] + b"\x00",
    ],
    ids=range(10),
)
def test_what_is_no_message_is_a_broken_frame(body):
    with pytest.raises(BrokenFrame):
        read(frame(body))


def test_a_length_beyond_the_limit_is_refused_before_anything_is_waited_for():
    with pytest.raises(BrokenFrame, match=str(MAX_FRAME + 1)):
        read(struct.pack("<I", MAX_FRAME + 1))


def test_a_field_of_a_later_version_is_passed_over():
    assert read(frame(SHUTDOWN + b"\x07")) == [Shutdown()]


def test_messages_before_a_broken_frame_are_not_lost():
    reader = FrameReader()
    messages = reader.feed(encode(Abort("a")) + frame(b"\xc1"))
    assert next(messages) == Abort("a")
    with pytest.raises(BrokenFrame):
        next(messages)
