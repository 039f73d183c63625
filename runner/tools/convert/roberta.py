"""RoBERTa and its kin, XLM-RoBERTa and CamemBERT: a BERT with another vocabulary.

Their positions count from behind the id of the padding, and their cross-encoders have a head of
two layers.  Source: ``conversion/bert.py`` of llama.cpp.
"""

from __future__ import annotations

from typing import ClassVar

from runner.errors import BadModelFile
from runner.tools.convert.bert import Bert
from runner.tools.convert.frame import read_framed_bpe
from runner.tools.convert.unigram import read_unigram
from runner.tools.convert.vocabulary import Vocabulary


class Roberta(Bert):
    """``RobertaModel``, ``XLMRobertaModel``, ``CamembertModel``, and those with a head."""

    prefix: ClassVar[str] = "roberta."

    def read_vocabulary(self) -> Vocabulary:
        """Return the vocabulary, of pairs of bytes or of pieces with scores; raises likewise."""
        tokenizer = self._folder.json("tokenizer.json")
        if tokenizer is None:
            raise BadModelFile(
                f"{self._folder.place} has no tokenizer.json",
                hint="save it with transformers: AutoTokenizer.from_pretrained(...)"
                ".save_pretrained()",
            )
        model = tokenizer.get("model")
        is_unigram = isinstance(model, dict) and model.get("type") == "Unigram"
        return read_unigram(self._folder) if is_unigram else read_framed_bpe(self._folder)

    def n_skipped_positions(self) -> int:
        """Return how many rows no text has: those up to the id of the padding."""
        padding = self._folder.config.get("pad_token_id", 1)
        if isinstance(padding, bool) or not isinstance(padding, int) or padding < 0:
            raise BadModelFile(f"'pad_token_id' in config.json is {padding!r}, which is no id")
        return padding + 1

    def head(self) -> tuple[str, str]:
        """Return the two modules of the classifier."""
        return "classifier.dense", "classifier.out_proj"
