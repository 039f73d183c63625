"""BERT folders to GGUF: the engine computes from the file what numpy computes from the folder."""

from __future__ import annotations

import json

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from runner.domain.model import Capability
from runner.errors import BadModelFile, UnsupportedArchitecture
from runner.gguf.metadata import describe, refuse_unrunnable
from runner.gguf.reader import read_header
from runner.protocol.messages import Embed, Embedded, Load, Rerank
from runner.tools.convert.convert import convert
from tests.engine.running import Running
from tests.fakes.bert_folder import (
    CLS,
    SEP,
    VOCABULARY,
    NumpyBert,
    bert_folder,
    change_json,
)

#: Words that the small vocabulary spells, some of them in pieces, and some that it cannot.
TEXTS = ("the cat sat", "The DOG, sitting!", "a", "", "cats dogs é 你", "abc xyz 42?", "zzz " * 20)


def words_of(text: str) -> list[int]:
    """Tokens by Hugging Face's own tokenizer."""
    vocabulary = {token: i for i, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer.encode(text, add_special_tokens=False).ids


def tokens_of(text: str) -> list[int]:
    return [CLS, *words_of(text), SEP]


def ask(path, request):
    from runner.engine.llama.backend import LlamaBackend

    load = Load("l", str(path), n_ctx=512, n_cells=512, n_seq_max=4, n_threads=1, generates=False)
    backend = LlamaBackend(load)
    try:
        with Running(backend.model, backend) as running:
            found = running.ask(request)
    finally:
        backend.close()
    assert isinstance(found, Embedded), found
    return found, [np.frombuffer(raw, "<f4") for raw in found.vectors]


@pytest.mark.live
@pytest.mark.parametrize("file_type", ["f32", "f16"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_engine_embeds_as_the_folder_says(tmp_path, pooling, file_type):
    folder = bert_folder(tmp_path / "bert", pooling=pooling)
    convert(folder, tmp_path / "bert.gguf", file_type=file_type)
    found, vectors = ask(tmp_path / "bert.gguf", Embed("r", TEXTS))
    reference = NumpyBert(folder)
    for text, vector, n in zip(TEXTS, vectors, found.n_tokens, strict=True):
        tokens = tokens_of(text)
        kept = tokens if len(tokens) <= 64 else [*tokens[:63], SEP]
        assert n == len(kept), text
        assert vector @ reference.embedding(kept, pooling) > 0.999, text


@pytest.mark.live
def test_older_folders_convert_to_the_same(tmp_path):
    folder = bert_folder(tmp_path / "bert", old_names=True)
    convert(folder, tmp_path / "bert.gguf", file_type="f32")
    _, vectors = ask(tmp_path / "bert.gguf", Embed("r", ("the cat sat",)))
    reference = NumpyBert(folder).embedding(tokens_of("the cat sat"))
    assert vectors[0] @ reference > 0.999


@pytest.mark.live
@pytest.mark.parametrize("prefix", ["", "distilbert."])
def test_a_distilbert_embeds_as_the_bert_that_it_is(tmp_path, prefix):
    """The same weights by its own names: what tells texts apart is nothing, and so not there."""
    folder = bert_folder(tmp_path / "bert")
    reference = NumpyBert(folder)
    types = reference.weights["embeddings.token_type_embeddings.weight"]
    types[:] = 0
    names = {
        "encoder.layer": "transformer.layer",
        "attention.self.query": "attention.q_lin",
        "attention.self.key": "attention.k_lin",
        "attention.self.value": "attention.v_lin",
        "attention.output.dense": "attention.out_lin",
        "attention.output.LayerNorm": "sa_layer_norm",
        "intermediate.dense": "ffn.lin1",
        "output.dense": "ffn.lin2",
        "output.LayerNorm": "output_layer_norm",
    }
    tensors = {"vocab_projector.bias": np.zeros(3, np.float32)}
    for name, value in load_file(folder / "model.safetensors").items():
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        if "token_type" not in name and "pooler" not in name:
            tensors[prefix + name] = value
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    sizes = {"hidden_size": "dim", "intermediate_size": "hidden_dim"}
    sizes |= {"num_hidden_layers": "n_layers", "num_attention_heads": "n_heads"}
    told = {sizes.get(key, key): value for key, value in config.items() if key != "hidden_act"}
    told |= {"architectures": ["DistilBertForMaskedLM"], "activation": "gelu"}
    (folder / "config.json").write_text(json.dumps(told))
    convert(folder, tmp_path / "distil.gguf", file_type="f32")
    _, vectors = ask(tmp_path / "distil.gguf", Embed("r", TEXTS[:3]))
    for text, vector in zip(TEXTS, vectors, strict=False):
        assert vector @ reference.embedding(tokens_of(text)) > 0.9999, text


@pytest.mark.live
def test_the_engine_scores_as_the_cross_encoder_does(tmp_path):
    folder = bert_folder(tmp_path / "cross", head=True)
    convert(folder, tmp_path / "cross.gguf", file_type="f32")
    documents = ("the cat", "a dog sat", "", "42!")
    _, scores = ask(tmp_path / "cross.gguf", Rerank("r", "cat?", documents))
    reference = NumpyBert(folder)
    wanted = [
        reference.score([*tokens_of("cat?"), *words_of(document), SEP]) for document in documents
    ]
    np.testing.assert_allclose(np.concatenate(scores), wanted, atol=0.02)
    assert len(set(wanted)) == len(documents)


def test_the_header_is_that_of_a_whole_model(tmp_path):
    for head, capability in ((False, Capability.EMBEDDING), (True, Capability.RERANK)):
        folder = bert_folder(tmp_path / f"bert{head}", head=head)
        out = tmp_path / f"bert{head}.gguf"
        convert(folder, out)
        header = read_header(out)
        refuse_unrunnable(header)
        facts = describe(header)
        assert (facts.architecture, facts.quantization) == ("bert", "F16")
        assert (facts.n_ctx_train, facts.n_embd, facts.n_layer) == (64, 32, 2)
        assert facts.capabilities == (capability,)
        assert facts.n_vocab == len(VOCABULARY)


def test_the_progress_goes_to_the_end(tmp_path):
    moments = []
    convert(bert_folder(tmp_path / "bert"), tmp_path / "o.gguf", progress=moments.append)
    done = [moment.n_done for moment in moments]
    assert done[0] == 0
    assert done == sorted(done)
    assert done[-1] == moments[-1].n_bytes > 0


def test_bfloat16_weights_come_out_as_their_numbers(tmp_path):
    """Written by hand: numpy has no such type."""
    folder = bert_folder(tmp_path / "bert")
    file = folder / "model.safetensors"
    tensors = {name: value.copy() for name, value in load_file(file).items()}
    table, raw = {}, b""
    for name, value in tensors.items():
        halves = (value.view(np.uint32) >> 16).astype("<u2").tobytes()
        offsets = [len(raw), len(raw) + len(halves)]
        table[name] = {"dtype": "BF16", "shape": list(value.shape), "data_offsets": offsets}
        raw += halves
    header = json.dumps(table).encode()
    content = len(header).to_bytes(8, "little") + header + raw
    file.unlink()
    file.write_bytes(content)
    convert(folder, tmp_path / "o.gguf", file_type="f32")
    written = {tensor.name: tensor.data for tensor in gguf.GGUFReader(tmp_path / "o.gguf").tensors}
    wanted = tensors["encoder.layer.1.output.dense.weight"].view(np.uint32) & 0xFFFF0000
    np.testing.assert_array_equal(written["blk.1.ffn_down.weight"], wanted.view(np.float32))


def test_shards_are_read_from_their_files(tmp_path):
    folder = bert_folder(tmp_path / "bert")
    convert(folder, tmp_path / "whole.gguf")
    tensors = {k: v.copy() for k, v in load_file(folder / "model.safetensors").items()}
    (folder / "model.safetensors").unlink()
    names, weight_map = sorted(tensors), {}
    for number, part in enumerate((names[::2], names[1::2])):
        shard = f"model-{number}.safetensors"
        save_file({name: tensors[name] for name in part}, folder / shard)
        weight_map |= dict.fromkeys(part, shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    convert(folder, tmp_path / "shards.gguf")
    assert (tmp_path / "shards.gguf").read_bytes() == (tmp_path / "whole.gguf").read_bytes()


def with_tensors(change):
    """Write the tensors anew; they may be mapped from the old file, so it is not written over."""

    def damage(folder):
        file = folder / "model.safetensors"
        tensors = {name: value.copy() for name, value in load_file(file).items()}
        change(tensors)
        file.unlink()
        save_file(tensors, file)

    return damage


def grow(tensors):
    tensors["encoder.layer.1.output.dense.weight"][0, 0] = 1e6


def changed(name, **changes):
    return lambda folder: change_json(folder / name, **changes)


DAMAGES = {
    "no folder": (lambda f: f.rename(f.parent / "x"), "is not a folder"),
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "config no JSON": (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
    "config a list": (lambda f: (f / "config.json").write_text("[]"), "must hold an object"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no model.safetensors"),
    "weights cut": (
        lambda f: (f / "model.safetensors").write_bytes(b"\x08" + bytes(20)),
        "cannot be read",
    ),
    "no vocabulary": (lambda f: (f / "tokenizer.json").unlink(), "has no vocabulary"),
    "other tokenizer": (changed("tokenizer.json", model={"type": "BPE"}), "kind 'BPE'"),
    "no size": (changed("config.json", hidden_size=None), "'hidden_size' in config.json"),
    "wrong size": (changed("config.json", intermediate_size=65), "has shape (64, 32)"),
    "heads": (changed("config.json", num_attention_heads=5), "5 heads"),
    "activation": (changed("config.json", hidden_act="relu"), "'hidden_act' is 'relu'"),
    "positions": (
        changed("config.json", position_embedding_type="relative_key"),
        "'position_embedding_type'",
    ),
    "pooling": (
        changed(
            "1_Pooling/config.json", pooling_mode_mean_tokens=False, pooling_mode_max_tokens=True
        ),
        "pooling_mode_max_tokens",
    ),
    "small vocabulary": (changed("config.json", vocab_size=5), "knows only 5"),
    "a tensor": (
        with_tensors(lambda tensors: tensors.pop("encoder.layer.1.output.dense.bias")),
        "'encoder.layer.1.output.dense.bias' is missing",
    ),
    "beyond f16": (with_tensors(grow), "beyond what f16 can hold"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_a_folder_that_lacks_something_is_refused_by_name(tmp_path, damage, words):
    folder = bert_folder(tmp_path / "bert")
    damage(folder)
    with pytest.raises(BadModelFile) as caught:
        convert(folder, tmp_path / "o.gguf")
    assert words in caught.value.message
    assert not list(tmp_path.glob("*.gguf*")), "nothing half-done is left"


@pytest.mark.parametrize("names", [["MambaForCausalLM"], [], "BertModel", None, [["BertModel"]]])
def test_another_architecture_is_refused_with_those_that_are_known(tmp_path, names):
    folder = bert_folder(tmp_path / "bert")
    change_json(folder / "config.json", architectures=names)
    with pytest.raises(UnsupportedArchitecture) as caught:
        convert(folder, tmp_path / "o.gguf")
    assert caught.value.code == "unsupported_architecture"
    assert "BertModel" in caught.value.hint
