"""RoBERTa, XLM-RoBERTa, NomicBert and ModernBERT: the engine computes what their folders say.

Tokens are those of Hugging Face's own tokenizer, vectors and scores those of numpy.
"""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from runner.domain.model import Capability
from runner.errors import BadModelFile, UnsupportedArchitecture
from runner.gguf.metadata import describe, refuse_unrunnable
from runner.gguf.reader import read_header
from runner.protocol.messages import Embed, Embedded, Load, Rerank
from runner.tools.convert.convert import convert
from tests.engine.running import Running
from tests.fakes.bert_folder import change_json, write_json
from tests.fakes.encoders import (
    N_CTX,
    NumpyModern,
    NumpyNomic,
    NumpyRoberta,
    modernbert_folder,
    nomic_folder,
    pools_by,
    roberta_folder,
)
from tests.tools.convert.test_convert import tokens_of

TEXTS = (
    "the cat sat",
    "  The dogs   sat, the cat? ",
    "a",
    "",
    "héé 你好 \u200b ﬁt \uff21…\tb\nc",
    "<s></s> [CLS] is text, <mask> too",
    "xyz 42 |||IP_ADDRESS||| \U0001f600!",
)
PAIR = ("cat?", ("the cat", "a dog sat on 9", "", "42!"))


def xlm_folder(path, **how):
    return roberta_folder(path, family="XLMRoberta", **how)


def camembert_folder(path, **how):
    return roberta_folder(path, family="Camembert", **how)


def older_xlm_folder(path, **how):
    """As transformers wrote it before its fifth version, and hubs are full of."""
    folder = xlm_folder(path, **how)
    said = json.loads((folder / "tokenizer.json").read_text())
    spaces = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}
    steps = [{"type": "Strip", "strip_left": False, "strip_right": True}, spaces]
    said["normalizer"] = {"type": "Sequence", "normalizers": [said["normalizer"], *steps]}
    said["pre_tokenizer"] = {"type": "Metaspace", "replacement": "\u2581"} | {
        "prepend_scheme": "always",
        "split": True,
    }
    write_json(folder / "tokenizer.json", said)
    return folder


@contextmanager
def running(path):
    from runner.engine.llama.backend import LlamaBackend

    load = Load("l", str(path), n_ctx=256, n_cells=256, n_seq_max=4, n_threads=1, generates=False)
    backend = LlamaBackend(load)
    try:
        with Running(backend.model, backend) as engine:
            yield backend.model, engine
    finally:
        backend.close()


def vectors(engine, request):
    found = engine.ask(request)
    assert isinstance(found, Embedded), found
    return [np.frombuffer(raw, "<f4") for raw in found.vectors]


def own_tokens(model, text):
    frame = model.frame
    return [*frame.opening, *model.tokenize(text, parse_special=False), *frame.closing]


def their_tokens(folder):
    """Hugging Face's; what looks like a special token in a text is text."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


@pytest.mark.live
@pytest.mark.parametrize(
    ("make", "reference"),
    [
        (roberta_folder, NumpyRoberta),
        (xlm_folder, NumpyRoberta),
        (older_xlm_folder, NumpyRoberta),
        (camembert_folder, NumpyRoberta),
        (modernbert_folder, NumpyModern),
    ],
)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_engine_embeds_as_the_folder_says(tmp_path, make, reference, pooling):
    folder = make(tmp_path / "folder")
    pools_by(folder, pooling)
    convert(folder, tmp_path / "out.gguf", file_type="f32")
    theirs, numbers = their_tokens(folder), reference(folder)
    with running(tmp_path / "out.gguf") as (model, engine):
        for text, vector in zip(TEXTS, vectors(engine, Embed("r", TEXTS)), strict=True):
            tokens = theirs.encode(text).ids
            if reference is NumpyRoberta and make is not roberta_folder and "<s>" in text:
                # Theirs has the names of special tokens among its pieces; a text has none here.
                tokens = own_tokens(model, text)
                assert not {0, 1, 2} & set(tokens[1:-1])
            assert own_tokens(model, text) == tokens, text
            assert vector @ numbers.embedding(tokens, pooling) > 0.9999, text


@pytest.mark.live
@pytest.mark.parametrize(
    ("make", "reference"),
    [
        (roberta_folder, NumpyRoberta),
        (xlm_folder, NumpyRoberta),
        (modernbert_folder, NumpyModern),
        (
            lambda path, **how: modernbert_folder(path, classifier_pooling="mean", **how),
            NumpyModern,
        ),
    ],
    ids=["roberta", "xlm", "modern", "modern-mean"],
)
def test_the_engine_scores_a_pair_as_the_cross_encoder_does(tmp_path, make, reference):
    folder = make(tmp_path / "folder", head=True)
    convert(folder, tmp_path / "out.gguf", file_type="f32")
    assert describe(read_header(tmp_path / "out.gguf")).capabilities == (Capability.RERANK,)
    theirs, numbers = their_tokens(folder), reference(folder)
    query, documents = PAIR
    wanted = [numbers.score(theirs.encode(query, document).ids) for document in documents]
    with running(tmp_path / "out.gguf") as (_, engine):
        scores = vectors(engine, Rerank("r", query, documents))
    np.testing.assert_allclose(np.concatenate(scores), wanted, atol=0.01)
    assert np.ptp(wanted) > 0.1


@pytest.mark.live
@pytest.mark.parametrize("anew", [False, True])
def test_a_nomic_bert_embeds_in_either_spelling(tmp_path, anew):
    reference = NumpyNomic(nomic_folder(tmp_path / "old"))
    folder = nomic_folder(tmp_path / "folder", anew=anew)
    convert(folder, tmp_path / "out.gguf", file_type="f32")
    texts = TEXTS[:4]
    with running(tmp_path / "out.gguf") as (_, engine):
        for text, vector in zip(texts, vectors(engine, Embed("r", texts)), strict=True):
            assert vector @ reference.embedding(tokens_of(text)) > 0.9999, text


@pytest.mark.live
@pytest.mark.parametrize(
    "how",
    [
        {"hidden_activation": "silu"},
        {"layer_types": None, "global_attn_every_n_layers": 2},
        {"layer_types": ["full_attention", *["sliding_attention"] * 3]},
    ],
    ids=str,
)
def test_layers_of_a_modernbert_see_what_its_settings_say(tmp_path, how):
    """Of a text of many times the window's tokens."""
    folder = modernbert_folder(tmp_path / "folder", **how)
    convert(folder, tmp_path / "out.gguf", file_type="f32")
    text = "the cat sat, and the dog. " * 2
    tokens = their_tokens(folder).encode(text).ids
    assert N_CTX >= len(tokens) > 40
    with running(tmp_path / "out.gguf") as (_, engine):
        (vector,) = vectors(engine, Embed("r", (text,)))
    assert vector @ NumpyModern(folder).embedding(tokens) > 0.9999


def test_the_header_is_that_of_a_whole_model(tmp_path):
    made = {"bert": roberta_folder, "nomic-bert": nomic_folder, "modern-bert": modernbert_folder}
    for architecture, make in made.items():
        convert(make(tmp_path / architecture), tmp_path / "out.gguf")
        header = read_header(tmp_path / "out.gguf")
        refuse_unrunnable(header)
        facts = describe(header)
        assert (facts.architecture, facts.quantization) == (architecture, "F16")
        assert facts.n_ctx_train == N_CTX
        assert facts.capabilities == (Capability.EMBEDDING,)


def changed(name, **changes):
    return lambda folder: change_json(folder / name, **changes)


def no_table(folder):
    change_json(folder / "tokenizer.json", normalizer={"type": "Strip", "strip_right": True})


def cut_table(folder):
    table = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(bytes(4)).decode()}
    change_json(folder / "tokenizer.json", normalizer=table)


def another_step(folder):
    pools_by(folder, "mean")
    write_json(folder / "modules.json", [{"type": "sentence_transformers.models.Dense"}])


def biased(folder):
    tensors = {name: t.copy() for name, t in load_file(folder / "model.safetensors").items()}
    tensors["layers.1.attn.Wo.bias"] = np.zeros(32, "f4")
    save_file(tensors, folder / "model.safetensors")


DAMAGES = {
    "space first": (
        roberta_folder,
        changed("tokenizer.json", pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True}),
        UnsupportedArchitecture,
        "splits text",
    ),
    "no frame": (
        roberta_folder,
        changed("tokenizer.json", post_processor={"type": "ByteLevel"}),
        BadModelFile,
        "'post_processor' does not say",
    ),
    "a frame of nothing": (
        roberta_folder,
        changed("tokenizer.json", post_processor={"type": "RobertaProcessing", "cls": ["<x>", 0]}),
        BadModelFile,
        "'<x>' is none",
    ),
    "no tokenizer": (
        roberta_folder,
        lambda folder: (folder / "tokenizer.json").unlink(),
        BadModelFile,
        "no tokenizer.json",
    ),
    "positions": (
        roberta_folder,
        changed("config.json", max_position_embeddings=2),
        BadModelFile,
        "leaves no position",
    ),
    "more positions": (
        roberta_folder,
        changed("config.json", pad_token_id=5, max_position_embeddings=60),
        BadModelFile,
        "but config.json says (60, 32)",
    ),
    "padding": (roberta_folder, changed("config.json", pad_token_id="x"), BadModelFile, "'x'"),
    "no table": (xlm_folder, no_table, UnsupportedArchitecture, "no table of signs"),
    "table cut": (xlm_folder, cut_table, BadModelFile, "cut short"),
    "lower case": (
        xlm_folder,
        changed("tokenizer.json", normalizer={"type": "Lowercase"}),
        UnsupportedArchitecture,
        "(Lowercase)",
    ),
    "no score": (
        xlm_folder,
        changed("tokenizer.json", model={"type": "Unigram", "vocab": ["a"]}),
        BadModelFile,
        "'a' in tokenizer.json has no score",
    ),
    "unknown": (
        xlm_folder,
        changed("tokenizer.json", model={"type": "Unigram", "vocab": [["a", 1]], "unk_id": 9}),
        BadModelFile,
        "'unk_id'",
    ),
    "another step": (xlm_folder, another_step, UnsupportedArchitecture, "models.Dense"),
    "experts": (
        nomic_folder,
        changed("config.json", moe_every_n_layers=2),
        UnsupportedArchitecture,
        "'moe_every_n_layers' is 2",
    ),
    "half turned": (
        nomic_folder,
        changed("config.json", rotary_emb_fraction=0.5),
        UnsupportedArchitecture,
        "'rotary_emb_fraction' is 0.5",
    ),
    "base": (
        nomic_folder,
        changed("config.json", rotary_emb_base="x"),
        BadModelFile,
        "the base of positions",
    ),
    "irregular": (
        modernbert_folder,
        changed("config.json", layer_types=["sliding_attention"] * 4),
        UnsupportedArchitecture,
        "'layer_types'",
    ),
    "activation": (
        modernbert_folder,
        changed("config.json", hidden_activation="relu"),
        UnsupportedArchitecture,
        "'relu'",
    ),
    "norms": (
        modernbert_folder,
        changed("config.json", norm_bias=True),
        UnsupportedArchitecture,
        "'norm_bias' is True",
    ),
    "a bias": (modernbert_folder, biased, BadModelFile, "'layers.1.attn.Wo.bias' is none"),
}


@pytest.mark.parametrize(("make", "damage", "kind", "words"), DAMAGES.values(), ids=DAMAGES)
def test_what_cannot_be_computed_as_it_was_is_refused_by_name(tmp_path, make, damage, kind, words):
    folder = make(tmp_path / "folder")
    damage(folder)
    with pytest.raises(kind) as caught:
        convert(folder, tmp_path / "out.gguf")
    assert words in caught.value.message
    assert not list(tmp_path.glob("*.gguf*")), "nothing half-done is left"
