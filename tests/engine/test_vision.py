"""Models that see, on the real engine: the same picture always means the same, whatever runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from runner.domain.chat import Image, Message
from runner.domain.options import SamplingParams
from runner.domain.request import CacheUse, Terms
from runner.engine.chunks import Chunk, chunk_of
from runner.engine.detokenize import Detokenizer
from runner.engine.sequence import Sequence
from runner.errors import BadModelFile, RequestError
from runner.protocol.messages import Failed, Generate, Outcome
from tests.engine.conftest import load
from tests.engine.running import Running
from tests.engine.sequences import NoSampler
from tests.fakes.random_models import random_llama, random_qwen2vl, random_sliding
from tests.fakes.vision import bmp, png, random_projector

pytestmark = pytest.mark.live

GREEDY = SamplingParams(temperature=0, ignore_eos=True)
KINDS = {"mlp": random_llama, "gemma3": random_sliding, "qwen2vl_merger": random_qwen2vl}
SIZES = {"n_ctx": 512, "n_cells": 1024, "n_seq_max": 4, "n_batch": 128, "n_threads": 1}
#: As in ``test_kinds.py``: no near tie falls differently in a batch of another width.
EXACT = {"kv_type_k": "f32", "kv_type_v": "f32", "flash_attention": False}


@pytest.fixture(scope="module", params=KINDS)
def seeing(request, tmp_path_factory):
    """A model of each kind with its projector."""
    folder = tmp_path_factory.mktemp("models")
    path = folder / "model.gguf"
    KINDS[request.param](path)
    projector = random_projector(folder / "mmproj.gguf", kind=request.param)
    backend = load(path, projector_path=str(projector), **SIZES, **EXACT)
    yield backend
    backend.close()


@pytest.fixture
def running(seeing):
    seeing.clear()
    with Running(seeing.model, seeing, n_host_bytes=1 << 24) as made:
        yield made
    seeing.clear()


def about(*images: bytes, text: str = "What is this?", at: int = 0) -> tuple[Message, ...]:
    return (Message("user", text, images=tuple(Image(image, at) for image in images)),)


def ask(running: Running, name: str, messages, *, n: int = 12, terms: Terms | None = None) -> str:
    request = Generate(name, GREEDY, messages=messages, max_tokens=n, terms=terms or Terms())
    outcome = running.ask(request)
    assert isinstance(outcome, Outcome), outcome
    return running.texts[name]


def logits(backend, *parts: bytes | list[int]):
    """The logits after pictures and tokens, in their order, computed one after the other."""
    backend.clear()
    tokens, pictures = [], []
    for part in parts:
        if isinstance(part, bytes):
            seen = backend.eyes.look(part)
            pictures += seen.placed(len(tokens))
            tokens += seen.tokens
        else:
            tokens += part
    seq = Sequence("", tokens, len(tokens), 0, NoSampler(), Detokenizer(), seq_id=0)
    seq.pictures = tuple(pictures)
    while seq.n_pending:
        if picture := seq.picture:
            backend.see(Chunk(seq, picture.start, picture.n, draw=False), picture)
            seq.n_computed += picture.n
        else:
            chunk = chunk_of(seq, min(seq.n_pending, 7))
            rows = backend.decode([chunk])
            seq.n_computed += chunk.n
    return backend._context.logits(rows[-1]).copy()


def test_another_picture_or_another_order_changes_the_numbers(seeing):
    one, two, text = png(1), png(2), [10, 20, 30, 40, 50, 60, 70, 80, 90]
    base = logits(seeing, one, two, text)
    np.testing.assert_array_equal(logits(seeing, one, two, text), base)
    for other in ((two, one, text), (one, one, text), (one, text), (one, png(3, 64, 32), text)):
        assert np.abs(logits(seeing, *other) - base).max() > 0.01


def test_the_same_picture_brings_the_same_answer_alone_and_beside_others(running):
    """Three others run beside it, one of them with the same beginning, one with other pictures."""
    alone = ask(running, "alone", about(png(1)))
    others = {
        "text": (Message("user", "Count to a hundred."),),
        "like": about(png(1), text="What is that?"),
        "two": about(png(2), png(3)),
    }
    for name, messages in others.items():
        running.send(Generate(name, GREEDY, messages=messages, max_tokens=40))
    assert ask(running, "beside", about(png(1))) == alone
    for name in others:
        assert isinstance(running.ending(name), Outcome)


def test_the_next_turn_need_not_compute_the_picture_again(running):
    """And is answered as if it had to."""
    question = about(png(1), text="What is this, and what is it for? " * 2)
    first = ask(running, "first", question)
    turns = (*question, Message("assistant", first), Message("user", "And now?"))
    again = ask(running, "again", turns)
    assert running.started["again"].n_cached > running.started["first"].n_prompt - 10
    assert ask(running, "new", turns, terms=Terms(cache=CacheUse.NONE)) == again


def test_a_picture_counts_as_tokens_of_the_prompt(running, seeing):
    ask(running, "with", about(png(1)))
    ask(running, "without", (Message("user", "What is this?"),))
    n_more = running.started["with"].n_prompt - running.started["without"].n_prompt
    assert n_more == len(seeing.eyes.look(png(1)).tokens)


def test_pictures_stand_where_the_text_has_them(running):
    """Before, in the midst of and after the text are three different questions."""
    kinds = {at: about(png(1), text="What is this?", at=at) for at in (0, 5, 13)}
    n_prompts = set()
    for at, messages in kinds.items():
        ask(running, f"r{at}", messages)
        n_prompts.add(running.started[f"r{at}"].n_prompt)
    assert len(n_prompts) == 1


def test_a_damaged_picture_fails_its_request_alone_and_says_which(running):
    damaged = png(1)[:60] + bytes(40)
    failed = running.ask(Generate("bad", GREEDY, messages=about(png(1), damaged), max_tokens=4))
    assert isinstance(failed, Failed)
    assert (failed.code, failed.param) == ("invalid_request", "images")
    assert failed.message.startswith("image 2 of 2: the image cannot be decoded")
    ask(running, "good", about(png(1)))


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"RIFF\x1a\0\0\0WEBPVP8X" + bytes(20), "webp"), (png(1, 2, 402), "200 times")],
)
def test_what_cannot_be_taken_is_refused_in_words(running, content, words):
    failed = running.ask(Generate("bad", GREEDY, messages=about(content), max_tokens=4))
    assert isinstance(failed, Failed)
    assert words in failed.message


def test_a_marker_in_a_text_is_text(running):
    """The word that libmtmd itself uses for the place of an image is no image."""
    text = ask(running, "r", about(png(1), text="<__media__> [img-0] \ufdd02\ufdd1"))
    assert text
    assert running.started["r"].n_prompt > 40


def test_deterministic_answers_and_raw_ends_are_refused_in_words(running):
    terms = Terms(is_deterministic=True)
    asked = Generate("r", GREEDY, messages=about(png(1)), max_tokens=4, terms=terms)
    failed = running.ask(asked)
    assert isinstance(failed, Failed)
    assert failed.code == "unsupported"


def test_a_picture_longer_than_the_context_is_an_error_with_counts(running):
    failed = running.ask(Generate("r", GREEDY, messages=about(png(1)), n_ctx=20))
    assert isinstance(failed, Failed)
    assert failed.code == "prompt_too_long"


def test_the_projector_of_another_model_is_refused_with_both_numbers(tmp_path):
    random_llama(tmp_path / "model.gguf")
    wide = random_projector(tmp_path / "wide.gguf", n_embd=96)
    with pytest.raises(BadModelFile, match=r"96 numbers.* 64"):
        load(tmp_path / "model.gguf", projector_path=str(wide), **SIZES)


def test_a_file_that_is_no_projector_is_refused(tmp_path):
    path = tmp_path / "model.gguf"
    random_llama(path)
    with pytest.raises(BadModelFile, match="could not load the projector"):
        load(path, projector_path=str(path), **SIZES)


def test_places_that_are_marked_lie_in_no_picture(running):
    """Prompts that part inside, before and after pictures are each answered as if alone."""
    text = "Here are some pictures, look at them with care, one after the other. " * 2
    talks = [
        (Message("user", text, images=tuple(Image(png(i), len(text)) for i in order)), last)
        for order in ((1, 2), (1, 3), (2, 1), (1, 2))
        for last in (Message("assistant", "Yes."), Message("assistant", "No."))
    ]
    turns = [(*talk, Message("user", "And what do they show?")) for talk in talks]
    first = [ask(running, f"first{i}", talk) for i, talk in enumerate(turns)]
    again = [ask(running, f"again{i}", talk) for i, talk in enumerate(turns)]
    none = Terms(cache=CacheUse.NONE)
    assert again == first
    assert [ask(running, f"new{i}", talk, terms=none) for i, talk in enumerate(turns)] == first
    assert all(running.started[f"again{i}"].n_cached > len(text) for i in range(len(turns)))


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    random_llama(folder / "model.gguf")
    projector = random_projector(folder / "mmproj.gguf")
    backend = load(folder / "model.gguf", projector_path=str(projector), **SIZES)
    yield backend
    backend.close()


@settings(deadline=None)
@given(
    st.sampled_from([png(1), bmp()]),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=6),
    st.integers(0, 4000),
)
def test_whatever_bytes_a_file_has_it_is_seen_or_refused(llava, content, changes, n):
    raw = bytearray(content[:n])
    for place, value in changes:
        if 30 < place < len(raw):  # a size beyond what the door lets in is not for here
            raw[place] = value
    try:
        seen = llava.eyes.look(bytes(raw))
    except RequestError as error:
        assert error.message
        assert error.hint
    else:
        assert len(seen.tokens) == 16


def test_formats_that_are_told_of_are_decoded(llava):
    assert llava.eyes.look(bmp()).tokens != llava.eyes.look(png()).tokens
