"""Sampling parameters to a chain of llama.cpp's samplers."""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Iterator
from typing import Any

import llama_cpp
import numpy as np

from runner.domain.options import SamplingParams
from runner.engine.llama.context import Context
from runner.engine.llama.model import Model

#: A ``llama_sampler *``: an opaque ctypes pointer.
Handle = Any


class ChainSampler:
    """Owns a ``llama_sampler`` chain; ``draw`` is for the loop thread only.

    The order is llama.cpp's own default (``common/common.h``): penalties, top-k, typical, top-p,
    min-p, temperature.  A temperature of 0 takes the most likely token.
    """

    def __init__(
        self, model: Model, context: Context, params: SamplingParams, prompt: list[int]
    ) -> None:
        self._context = context.handle
        chain_params = llama_cpp.llama_sampler_chain_default_params()
        chain_params.no_perf = True
        self._chain = llama_cpp.llama_sampler_chain_init(chain_params)
        for sampler in _samplers(model, params, context.n_cells):
            llama_cpp.llama_sampler_chain_add(self._chain, sampler)
        if _has_penalties(params):
            n_back = len(prompt) if params.repeat_last_n < 0 else params.repeat_last_n
            for token in prompt[max(0, len(prompt) - n_back) :]:
                llama_cpp.llama_sampler_accept(self._chain, token)

    def draw(self, row: int) -> int:
        """Return the token drawn from the logits of batch row ``row``; the chain accepts it."""
        return int(llama_cpp.llama_sampler_sample(self._chain, self._context, row))

    def close(self) -> None:
        """Free the chain."""
        llama_cpp.llama_sampler_free(self._chain)


class GreedySampler:
    """Takes the most likely token; ``draw`` is for the loop thread only.

    What llama.cpp's greedy sampler does, a tenth of the time: that one first copies the whole
    vocabulary into a list of candidates.
    """

    def __init__(self, model: Model, context: Context, *, ignore_eos: bool) -> None:
        self._context = context
        self._forbidden = model.eog_indices if ignore_eos else None

    def draw(self, row: int) -> int:
        """Return the token with the highest logit of batch row ``row``, the first of equals."""
        logits = self._context.logits(row)
        if self._forbidden is not None:
            logits[self._forbidden] = -np.inf
        return int(logits.argmax())

    def close(self) -> None:
        """Nothing is held."""


def new_sampler(
    model: Model, context: Context, params: SamplingParams, prompt: list[int]
) -> ChainSampler | GreedySampler:
    """Return the sampler for ``params``, as one that has seen the end of ``prompt``."""
    if params.temperature <= 0 and not _has_penalties(params):
        return GreedySampler(model, context, ignore_eos=params.ignore_eos)
    return ChainSampler(model, context, params, prompt)


def _has_penalties(params: SamplingParams) -> bool:
    is_on = (params.repeat_penalty, params.frequency_penalty, params.presence_penalty) != (1, 0, 0)
    return is_on and params.repeat_last_n != 0


def _samplers(model: Model, params: SamplingParams, n_most: int) -> Iterator[Handle]:
    """Yield the chain's members in order; the chain takes ownership of each.

    Args:
        model: Whose tokens are drawn.
        params: How.
        n_most: Tokens that a sequence can have; llama.cpp allocates what it shall look back on.
    """
    if params.ignore_eos:
        yield _forbid(model)
    if _has_penalties(params):
        n_back = n_most if params.repeat_last_n < 0 else min(params.repeat_last_n, n_most)
        yield llama_cpp.llama_sampler_init_penalties(
            model.n_vocab,
            n_back,
            params.repeat_penalty,
            params.frequency_penalty,
            params.presence_penalty,
        )
    if params.temperature <= 0:
        yield llama_cpp.llama_sampler_init_greedy()
        return
    seed = secrets.randbits(32) if params.seed is None else params.seed
    if seed == llama_cpp.LLAMA_DEFAULT_SEED:  # to llama.cpp this one number means: any seed
        seed -= 1
    if params.mirostat:
        yield llama_cpp.llama_sampler_init_temp(params.temperature)
        yield _mirostat(model, params, seed)
        return
    if params.top_k > 0:
        yield llama_cpp.llama_sampler_init_top_k(params.top_k)
    if params.typical_p < 1:
        yield llama_cpp.llama_sampler_init_typical(params.typical_p, 1)
    if params.top_p < 1:
        yield llama_cpp.llama_sampler_init_top_p(params.top_p, 1)
    if params.min_p > 0:
        yield llama_cpp.llama_sampler_init_min_p(params.min_p, 1)
    yield llama_cpp.llama_sampler_init_temp(params.temperature)
    yield llama_cpp.llama_sampler_init_dist(seed)


def _mirostat(model: Model, params: SamplingParams, seed: int) -> Handle:
    tau, eta = params.mirostat_tau, params.mirostat_eta
    if params.mirostat == 1:
        # 100 is m of the paper and of llama.cpp: tokens used to estimate the distribution.
        return llama_cpp.llama_sampler_init_mirostat(model.n_vocab, seed, tau, eta, 100)
    return llama_cpp.llama_sampler_init_mirostat_v2(seed, tau, eta)


def _forbid(model: Model) -> Handle:
    """A sampler that makes every token that would end the answer impossible."""
    biases = (llama_cpp.llama_logit_bias * len(model.eog_tokens))()
    for bias, token in zip(biases, model.eog_tokens, strict=True):
        bias.token, bias.bias = token, float("-inf")
    array = ctypes.cast(biases, ctypes.POINTER(llama_cpp.llama_logit_bias))
    return llama_cpp.llama_sampler_init_logit_bias(model.n_vocab, len(biases), array)
