"""Sampling parameters to a chain of llama.cpp's samplers, and one token drawn from its logits."""

from __future__ import annotations

import ctypes
import math
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence as Seq
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.domain.event import TokenLogprob
from runner.domain.option_lists import NEVER
from runner.domain.options import SamplingParams
from runner.engine.llama.binding import llama_cpp
from runner.engine.llama.context import Context
from runner.engine.llama.model import Model
from runner.engine.logprobs import token_logprob
from runner.engine.pieces import Completions, PieceIndex
from runner.engine.rules import Bound, Matcher, Rules
from runner.errors import InvalidRequest

#: A ``llama_sampler *``: an opaque ctypes pointer.
Handle = Any
Logits = npt.NDArray[np.float32]

#: Below this share of the likeliest token's probability a token is none: its probability would
#: become 0, of which typical and mirostat take the logarithm.
_LEAST_P = 1e-30
#: Most tokens among which the infill sampler looks for those that begin alike.
_N_INFILL = 64


class LlamaSampler:
    """Draws the tokens of one answer; ``draw`` is for the loop thread only.

    Biases are added to the model's logits; among the tokens that the rules leave, the chain
    selects one.  Without a chain it is the likeliest.

    Attributes:
        logprob: Of the token drawn last; ``None`` when nobody asked.
        forced: Tokens that can only follow it.
    """

    def __init__(
        self,
        model: Model,
        context: Context,
        *,
        chain: Handle | None,
        rules: Rules,
        biases: tuple[npt.NDArray[np.intp], Logits] | None = None,
        n_logprobs: int | None = None,
    ) -> None:
        self._model = model
        self._context = context
        self._chain = chain
        self._rules = rules
        self._biases = biases
        self._n_logprobs = n_logprobs
        self._is_plain = chain is None and biases is None and n_logprobs is None
        self.logprob: TokenLogprob | None = None
        self.forced: Seq[int] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the answer's form lets nothing follow."""
        return self._rules.is_complete

    def draw(self, row: int) -> int:
        """Return a token drawn from the logits of batch row ``row``.

        Raises:
            ValueError: The logits are no numbers.
            InvalidRequest: What the request asks of its answer leaves no token.
        """
        logits = self._context.logits(row)
        if math.isnan(logits[0]):  # one tells: each is a sum over a state that has overflowed
            raise ValueError("the model computed NaN, which is no number")
        if self._is_plain:  # as below, quicker: the likeliest stays the likeliest among fewer
            token = self._select(logits, None)
            if self._rules.are_none:
                return token
            if self._rules.allows(token):
                self.forced = self._rules.accept(token)
                return token
        is_free = self._rules.is_free
        is_changed = self._biases is not None or not is_free
        plain = logits.copy() if self._n_logprobs is not None and is_changed else logits
        if self._biases is not None:
            np.add.at(logits, *self._biases)
        token = self._select(logits, None) if is_free else self._choose(logits)
        if self._n_logprobs is not None:
            self.logprob = token_logprob(plain, token, self._n_logprobs, self._model.spelling)
        self.forced = self._rules.accept(token)
        if self._chain is not None:
            for each in (token, *self.forced):
                llama_cpp.llama_sampler_accept(self._chain, each)
        return token

    def foretell(self, row: int, token: int) -> TokenLogprob:
        """Return what the logits of a batch row say of a token, before ``draw`` changes them."""
        logits = self._context.logits(row)
        return token_logprob(logits, token, self._n_logprobs or 0, self._model.spelling)

    def close(self) -> None:
        """Free the chain and the constraint."""
        self._rules.close()
        if self._chain is not None:
            llama_cpp.llama_sampler_free(self._chain)

    def _choose(self, logits: Logits) -> int:
        rules = self._rules
        if self._chain is None or rules.is_costly:
            # The likeliest stays the likeliest among fewer.  A grammar of llama.cpp is asked as
            # llama.cpp does it: about the token drawn, and about all only if that one is wrong.
            token = self._select(logits, None)
            if rules.allows(token):
                return token
        if rules.ban(logits):
            return self._select(logits, None)
        return self._select(logits, np.flatnonzero(rules.mask()))

    def _select(self, logits: Logits, tokens: npt.NDArray[np.intp] | None) -> int:
        """Return one of ``tokens``, or of all; the first of equally likely ones."""
        if tokens is None:
            if self._chain is None:
                return int(logits.argmax())
            candidates = self._context.candidates
            candidates.fill(self._context.all_tokens, logits)
        elif len(tokens) == 1:
            return int(tokens[0])
        elif self._chain is None:
            return int(tokens[logits[tokens].argmax()])
        else:
            candidates = self._context.candidates
            candidates.fill(tokens.astype(np.int32), logits[tokens])
        candidates.apply(self._chain)
        return candidates.selected()


def new_sampler(
    model: Model,
    context: Context,
    params: SamplingParams,
    prompt: list[int],
    *,
    matcher: Matcher | None = None,
    n_logprobs: int | None = None,
    budget: Bound | None = None,
    index: Callable[[], PieceIndex],
) -> LlamaSampler:
    """Return the sampler for ``params``, as one that has seen the end of ``prompt``.

    Args:
        model: Whose tokens are drawn.
        context: Where its logits are.
        params: How.
        prompt: What penalties look back on.
        matcher: What the answer must look like; the sampler closes it.
        n_logprobs: Likeliest tokens to tell at each place; ``None``: no log probabilities.
        budget: Bounds the thoughts.
        index: Makes or returns the bytes of all tokens.

    Raises:
        InvalidRequest: A bias names a token that the model has not.
    """
    try:
        biases, never = _biases(model, params)
        banned = None
        if params.banned_strings:
            banned = Completions(
                index(), [text.encode("utf-8", "replace") for text in params.banned_strings]
            )
    except InvalidRequest:
        if matcher is not None:
            matcher.close()
        raise
    rules = Rules(
        model.n_vocab,
        model.eog_indices,
        n_least=sys.maxsize if params.ignore_eos else params.min_tokens,
        never=never,
        banned=banned,
        matcher=matcher,
        may_force=n_logprobs is None,
        budget=budget,
    )
    chain = None
    if not _is_greedy(params) or _has_penalties(params) or _has_dry(params):
        chain = _new_chain(model, params, prompt, context.n_cells)
    return LlamaSampler(
        model, context, chain=chain, rules=rules, biases=biases, n_logprobs=n_logprobs
    )


def _biases(
    model: Model, params: SamplingParams
) -> tuple[tuple[npt.NDArray[np.intp], Logits] | None, npt.NDArray[np.intp]]:
    """Tokens with what is added to their logits, and tokens that are banned."""
    biased: list[tuple[int, float]] = []
    never: list[int] = []
    for what, bias in params.logit_bias:
        tokens = model.tokenize(what, parse_special=False) if isinstance(what, str) else [what]
        for token in tokens:
            if token >= model.n_vocab:
                raise InvalidRequest(
                    f"logit_bias: token {token} is not in [0, {model.n_vocab - 1}]",
                    param="logit_bias",
                )
            if bias <= NEVER:
                never.append(token)
            else:
                biased.append((token, bias))
    banned = np.array(never, np.intp)
    if not biased:
        return None, banned
    ids, values = zip(*biased, strict=True)
    return (np.array(ids, np.intp), np.array(values, np.float32)), banned


def _is_greedy(params: SamplingParams) -> bool:
    return params.temperature <= 0 and params.dynatemp_range <= 0


def _has_penalties(params: SamplingParams) -> bool:
    is_on = (params.repeat_penalty, params.frequency_penalty, params.presence_penalty) != (1, 0, 0)
    return is_on and params.repeat_last_n != 0 and "penalties" in params.samplers


def _has_dry(params: SamplingParams) -> bool:
    is_on = params.dry_multiplier != 0 and params.dry_penalty_last_n != 0
    return is_on and "dry" in params.samplers


def _new_chain(model: Model, params: SamplingParams, prompt: list[int], n_cells: int) -> Handle:
    chain_params = llama_cpp.llama_sampler_chain_default_params()
    chain_params.no_perf = True
    chain = llama_cpp.llama_sampler_chain_init(chain_params)
    for sampler in _samplers(model, params, n_cells):
        llama_cpp.llama_sampler_chain_add(chain, sampler)
    # Each sampler looks back as far as it is to, and llama.cpp forgets what is older.
    looks_back = [params.repeat_last_n] if _has_penalties(params) else []
    looks_back += [params.dry_penalty_last_n] if _has_dry(params) else []
    n_back = len(prompt) if -1 in looks_back else max(looks_back, default=0)
    for token in prompt[max(0, len(prompt) - n_back) :]:
        llama_cpp.llama_sampler_accept(chain, token)
    return chain


def _samplers(model: Model, params: SamplingParams, n_most: int) -> Iterator[Handle]:
    """Yield the chain's members in order; the chain takes ownership of each.

    A temperature of 0 takes the likeliest token after penalties and DRY.  Mirostat takes the place
    of all but these, too.

    Args:
        model: Whose tokens are drawn.
        params: How.
        n_most: Tokens that a sequence can have; llama.cpp allocates what it shall look back on.
    """
    seed = secrets.randbits(32) if params.seed is None else params.seed
    if seed == llama_cpp.LLAMA_DEFAULT_SEED:  # to llama.cpp this one number means: any seed
        seed -= 1
    is_greedy = _is_greedy(params)
    names: Seq[str] = params.samplers
    if is_greedy or params.mirostat:
        names = [name for name in names if name in ("penalties", "dry")]
    for name in names:
        yield from _sampler(name, model, params, seed=seed, n_most=n_most)
    if is_greedy:
        yield llama_cpp.llama_sampler_init_greedy()
    elif params.mirostat:
        yield llama_cpp.llama_sampler_init_temp(params.temperature)
        yield from _mirostat(model, params, seed)
    elif params.adaptive_target >= 0:
        yield llama_cpp.llama_sampler_init_adaptive_p(
            params.adaptive_target, params.adaptive_decay, seed
        )
    else:
        yield llama_cpp.llama_sampler_init_dist(seed)


def _sampler(
    name: str, model: Model, params: SamplingParams, *, seed: int, n_most: int
) -> Iterator[Handle]:
    """Yield what sampler ``name`` needs in the chain; nothing when it is off."""
    match name:
        case "penalties" | "dry":
            yield from _repetition(name, model, params, n_most)
        case "top_n_sigma" if params.top_n_sigma > 0:
            yield llama_cpp.llama_sampler_init_top_n_sigma(params.top_n_sigma)
        case "top_k" if params.top_k > 0:
            yield llama_cpp.llama_sampler_init_top_k(params.top_k)
        case "typ_p" if params.typical_p < 1:
            yield llama_cpp.llama_sampler_init_min_p(_LEAST_P, 1)
            yield llama_cpp.llama_sampler_init_typical(params.typical_p, 1)
        case "top_p" if params.top_p < 1:
            yield llama_cpp.llama_sampler_init_top_p(params.top_p, 1)
        case "min_p" if params.min_p > 0:
            yield llama_cpp.llama_sampler_init_min_p(params.min_p, 1)
        case "xtc" if params.xtc_probability > 0:
            yield llama_cpp.llama_sampler_init_xtc(
                params.xtc_probability, params.xtc_threshold, 1, seed
            )
        case "temperature":
            yield llama_cpp.llama_sampler_init_temp_ext(
                params.temperature, params.dynatemp_range, params.dynatemp_exponent
            )
        case "infill":
            # It compares each with each.
            yield llama_cpp.llama_sampler_init_top_k(_N_INFILL)
            yield llama_cpp.llama_sampler_init_infill(model.vocab)
        case _:  # it is off, or stands at the end of the chain anyway
            return


def _repetition(name: str, model: Model, params: SamplingParams, n_most: int) -> Iterator[Handle]:
    if name == "dry" and _has_dry(params):
        yield _dry(model, params, n_most)
    if name == "penalties" and _has_penalties(params):
        yield llama_cpp.llama_sampler_init_penalties(
            model.n_vocab,
            _n_back(params.repeat_last_n, n_most),
            params.repeat_penalty,
            params.frequency_penalty,
            params.presence_penalty,
        )


def _n_back(n_asked: int, n_most: int) -> int:
    return n_most if n_asked < 0 else min(n_asked, n_most)


def _dry(model: Model, params: SamplingParams, n_most: int) -> Handle:
    breakers = [text.encode("utf-8", "replace") for text in params.dry_sequence_breakers]
    return llama_cpp.llama_sampler_init_dry(
        model.vocab,
        params.dry_multiplier,
        params.dry_base,
        params.dry_allowed_length,
        _n_back(params.dry_penalty_last_n, n_most),
        (ctypes.c_char_p * len(breakers))(*breakers),
        len(breakers),
    )


def _mirostat(model: Model, params: SamplingParams, seed: int) -> Iterator[Handle]:
    tau, eta = params.mirostat_tau, params.mirostat_eta
    if params.mirostat == 1:
        yield llama_cpp.llama_sampler_init_min_p(_LEAST_P, 1)
        # 100 is m of the paper and of llama.cpp: tokens used to estimate the distribution.
        yield llama_cpp.llama_sampler_init_mirostat(model.n_vocab, seed, tau, eta, 100)
    else:
        yield llama_cpp.llama_sampler_init_mirostat_v2(seed, tau, eta)
