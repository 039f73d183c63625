"""The worker process: how it begins and ends, and what a broken model or partner can do to it."""

import struct
import sys

import pytest

from runner.domain.chat import Message
from runner.domain.event import FinishReason
from runner.domain.loading import LoadStage
from runner.domain.options import SamplingParams
from runner.engine.rendering import RENDER_TIMEOUT_S
from runner.gguf.reader import read_header
from runner.hub.packaged import find_starter
from runner.protocol.messages import Abort, Failed, Generate, Load, Outcome, Shutdown, Step
from tests.engine.worker_process import WorkerProcess
from tests.fakes.models import BOMB, CHATML, ENDLESS, RAISING, tiny_model

pytestmark = pytest.mark.live

ON = SamplingParams(ignore_eos=True)
HI = (Message("user", "Hi"),)


def chat(request_id: str, *, max_tokens: int = 5, content: str = "Hi") -> Generate:
    return Generate(request_id, ON, messages=(Message("user", content),), max_tokens=max_tokens)


@pytest.fixture
def tiny(tmp_path):
    return tiny_model(tmp_path / "tiny.gguf")


@pytest.fixture
def worker():
    with WorkerProcess() as made:
        yield made


@pytest.fixture
def ready(worker, tiny):
    worker.load(tiny)
    return worker


def test_our_own_reader_takes_the_tiny_model(tiny):
    header = read_header(tiny)
    assert header.metadata["general.architecture"] == "llama"
    assert header.metadata["tokenizer.chat_template"] == CHATML


def test_a_model_is_loaded_asked_and_shut_down(worker, tiny):
    loaded = worker.load(tiny, n_ctx=512)
    assert (loaded.request_id, loaded.n_ctx, loaded.n_threads) == ("load", 512, 1)
    text, outcome = worker.ask(chat("r"))
    assert text == "abcde"
    assert isinstance(outcome, Outcome)
    assert (outcome.reason, outcome.n_generated) == (FinishReason.LENGTH, 5)
    worker.send(Shutdown())
    assert worker.wait() == 0


def test_a_load_tells_its_stages_in_order(worker, tiny):
    worker.load(tiny)
    seen = [(list(LoadStage).index(told.stage), told.share) for told in worker.stages]
    assert seen == sorted(seen)
    assert [told.stage for told in worker.stages if not told.share] == [
        LoadStage.MAPPING,
        LoadStage.UPLOAD,
        LoadStage.CONTEXT,
        LoadStage.WARM_UP,
    ]
    assert LoadStage.UPLOAD in {told.stage for told in worker.stages if told.share == 1}
    assert {told.request_id for told in worker.stages} == {"load"}


def test_no_threads_asked_for_means_one_for_each_core(worker, tiny):
    worker.send(Load("load", str(tiny), 256, 256, 1))
    assert worker.receive().n_threads >= 1


def test_requests_sent_before_the_model_is_loaded_are_answered_after(worker, tiny):
    worker.send(Load("load", str(tiny), 256, 256, 4), chat("early", max_tokens=1), Abort("other"))
    assert worker.receive().request_id == "load"
    assert worker.receive().request_id == "early"
    assert worker.receive().deltas[0].text == "a"


def test_the_training_length_caps_the_context(worker, tmp_path):
    path = tiny_model(tmp_path / "short.gguf", n_ctx_train=300)
    assert worker.load(path, n_ctx=4096).n_ctx == 300


def test_a_small_batch_still_has_room_for_every_stream(worker, tiny):
    worker.send(Load("load", str(tiny), 256, 1024, 4, n_batch=1, n_threads=1))
    worker.receive()
    worker.send(*(chat(f"r{i}", max_tokens=180) for i in range(4)))
    ended = []
    n_most = 0
    while len(ended) < 4:
        message = worker.receive()
        if isinstance(message, Step):
            n_most = max(n_most, len(message.deltas))
            ended += [delta.request_id for delta in message.deltas if delta.finish]
    assert n_most > 1  # a step brings no text where a character is not whole yet
    assert sorted(ended) == ["r0", "r1", "r2", "r3"]


def test_the_end_of_the_pipe_ends_an_idle_worker(ready):
    ready.close_pipe()
    assert ready.wait() == 0


def test_the_end_of_the_pipe_ends_a_worker_in_the_middle_of_an_answer(worker, tmp_path):
    path = tiny_model(tmp_path / "long.gguf", n_ctx_train=100_000)
    worker.load(path, n_ctx=100_000)
    worker.send(chat("endless", max_tokens=99_000))
    for _ in range(20):
        worker.receive()
    worker.close_pipe()
    assert worker.wait() == 0


def test_the_end_of_the_pipe_ends_a_worker_that_is_still_loading(worker):
    path = find_starter()
    assert path is not None, "the starter model is not installed"
    worker.send(Load("load", str(path), 8192, 65536, 4, use_mmap=False))
    worker.close_pipe()
    assert worker.wait() == 0


def test_the_end_of_the_pipe_ends_a_worker_whose_template_hangs(worker, tmp_path):
    worker.load(tiny_model(tmp_path / "hangs.gguf", template=ENDLESS))
    worker.send(chat("r"))
    worker.close_pipe()
    assert worker.wait() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_ctrl_c_is_the_daemon_s_to_handle(ready):
    ready.interrupt()
    assert ready.ask(chat("r"))[0] == "abcde"


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xff\xff\xff",
        struct.pack("<I", 3) + b"\xc1\xc1\xc1",
        struct.pack("<I", 100_000) + b"\x91" * 100_000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["length", "body", "nesting", "http"],
)
def test_garbage_on_the_pipe_ends_the_worker_with_a_word_in_its_log(ready, raw):
    ready.write(raw)
    assert ready.wait() == 1
    assert "pipe error=" in ready.log


def test_garbage_instead_of_a_load_ends_the_worker(worker):
    worker.write(b"hello, worker!\n")
    assert worker.wait() == 1


def test_a_worker_wants_a_model_first(worker):
    worker.send(chat("r"))
    assert worker.wait() == 2
    assert "expected Load, got kind=Generate" in worker.log


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model at all" * 100], ids=range(3))
def test_a_file_that_is_no_model_is_a_failed_load(worker, tmp_path, content):
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    worker.send(Load("load", str(path), 256, 256, 1))
    failed = worker.receive()
    assert isinstance(failed, Failed)
    assert (failed.request_id, failed.code) == ("load", "worker_failed")
    assert failed.hint
    assert worker.wait() == 1


def test_a_template_that_raises_costs_one_request(worker, tmp_path):
    worker.load(tiny_model(tmp_path / "raises.gguf", template=RAISING))
    _, failed = worker.ask(chat("bad"))
    assert isinstance(failed, Failed)
    assert failed.code == "template_failed"
    assert "only two turns, please" in failed.message
    assert worker.ask(Generate("raw", ON, prompt="?", max_tokens=3))[0] == "abc"


def test_a_template_that_never_ends_costs_one_request_and_not_the_worker(worker, tmp_path):
    picky = "{% if messages[0].content == 'hang' %}" + ENDLESS + "{% endif %}" + CHATML
    worker.load(tiny_model(tmp_path / "hangs.gguf", template=picky))
    _, failed = worker.ask(chat("hangs", content="hang"))
    assert isinstance(failed, Failed)
    assert failed.code == "template_failed"
    assert f"{RENDER_TIMEOUT_S:g} seconds" in failed.message
    assert worker.ask(chat("good"))[0] == "abcde"
    assert worker.process.poll() is None


def test_a_stream_goes_on_while_a_template_hangs(worker, tmp_path):
    path = tiny_model(tmp_path / "hangs.gguf", template=ENDLESS, n_ctx_train=100_000)
    worker.load(path, n_ctx=100_000)
    worker.send(Generate("stream", ON, prompt="x"), chat("hangs"))
    n_deltas = 0
    while not isinstance(message := worker.receive(), Failed):
        n_deltas += 1
    assert message.request_id == "hangs"
    assert n_deltas > 100
    worker.send(Abort("stream"))
    while True:
        message = worker.receive()
        if isinstance(message, Step) and message.deltas[0].finish:
            assert message.deltas[0].finish.reason is FinishReason.ABORTED
            return


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory this way")
def test_a_template_that_eats_memory_costs_one_request(worker, tmp_path):
    worker.load(tiny_model(tmp_path / "bomb.gguf", template=BOMB))
    _, failed = worker.ask(chat("r"))
    assert isinstance(failed, Failed)
    assert failed.code == "template_failed"
    assert worker.ask(Generate("raw", ON, prompt="?", max_tokens=3))[0] == "abc"


def test_a_model_without_a_template_answers_the_plain_text(worker, tmp_path):
    worker.load(tiny_model(tmp_path / "none.gguf", template=None))
    messages = (Message("user", "Hi!"),)
    request = Generate("r", ON, messages=messages, max_tokens=2, wants_tokens=True)
    text, outcome = worker.ask(request)
    assert text == "ab"
    assert isinstance(outcome, Outcome)
    assert outcome.tokens == (1, *(3 + byte for byte in b"Hi!ab"))


def test_a_model_that_ends_its_answer_is_believed_unless_told_otherwise(worker, tmp_path):
    worker.load(tiny_model(tmp_path / "ends.gguf", says="Yes. 😀", ends=True))
    text, outcome = worker.ask(Generate("r", SamplingParams(), messages=HI))
    assert text == "Yes. 😀"
    assert isinstance(outcome, Outcome)
    assert (outcome.reason, outcome.n_generated) == (FinishReason.STOP, 10)
    text, outcome = worker.ask(chat("on", max_tokens=30))
    assert text.startswith("Yes. 😀")
    assert isinstance(outcome, Outcome)
    assert (outcome.reason, outcome.n_generated) == (FinishReason.LENGTH, 30)


def test_an_answer_is_whole_characters_wherever_it_is_cut(worker, tmp_path):
    worker.load(tiny_model(tmp_path / "emoji.gguf", says="é😀€"))
    raw = "é😀€".encode()
    for n in range(len(raw) + 1):
        text, outcome = worker.ask(chat(f"r{n}", max_tokens=n))
        assert text == raw[:n].decode(errors="ignore")
        assert isinstance(outcome, Outcome)
        assert outcome.n_generated == n


def test_a_stop_string_is_found_across_tokens(worker, tiny):
    worker.load(tiny)
    request = Generate("r", ON, messages=HI, max_tokens=100, stop=("xyz", "ghij", "hi!"))
    text, outcome = worker.ask(request)
    assert text == "abcdef"
    assert isinstance(outcome, Outcome)
    assert (outcome.reason, outcome.stop) == (FinishReason.STOP, "ghij")


def test_a_draft_model_guesses_in_the_same_process(worker, tiny, tmp_path):
    """A draft of the same mind is right each time; one that is no model is a failed load."""
    worker.load(tiny, draft_path=str(tiny))
    request = Generate("r", ON, messages=HI, max_tokens=20, speculate="on", n_draft_max=4)
    text, outcome = worker.ask(request)
    assert text == "abcdefghijklmnopqrst"
    assert isinstance(outcome, Outcome)
    assert outcome.n_accepted == outcome.n_drafted > 10
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    with WorkerProcess() as other:
        other.send(Load("load", str(tiny), 256, 256, 1, n_threads=1, draft_path=str(broken)))
        failed = other.receive()
        assert isinstance(failed, Failed)
        assert (failed.request_id, failed.code) == ("load", "worker_failed")
