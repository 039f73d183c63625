"""What each option of ``options.py`` does, in a line for people; ranges and defaults are there.

Read by ``corral run --help`` and by the page of options in the reference.
"""

from __future__ import annotations

from collections.abc import Mapping

from runner.domain.options import SamplingParams

#: By name, in the order of ``OPTION_SPECS``.
MEANINGS: Mapping[str, str] = {
    "temperature": "how freely tokens are chosen; 0 always takes the likeliest",
    "top_k": "choose among so many of the likeliest; 0: among all",
    "top_p": "choose among the likeliest that together have this probability; 1: among all",
    "min_p": "leave out what is less likely than this share of the likeliest; 0: nothing",
    "typical_p": "leave out what is unusually likely or unlikely here; 1: nothing",
    "repeat_last_n": "tokens that penalties look back on; 0: none, -1: the whole context",
    "repeat_penalty": "makes tokens of lately less likely; 1: not at all",
    "presence_penalty": "taken from what has come at all; 0: nothing",
    "frequency_penalty": "taken from it for each time that it has come; 0: nothing",
    "mirostat": "keep the surprise of an answer level, by version 1 or 2; 0: off",
    "mirostat_tau": "the surprise that mirostat aims at",
    "mirostat_eta": "how fast mirostat corrects itself",
    "seed": "the same number chooses alike; unset: another one each time",
    "ignore_eos": "do not let the model end its answer",
    "samplers": "what chooses, in this order: names such as top_k, top_p, temperature",
    "dynatemp_range": "how far the temperature moves with the model's doubt; 0: not",
    "dynatemp_exponent": "how the doubt becomes a temperature",
    "top_n_sigma": "choose within so many standard deviations of the likeliest; 0: among all",
    "xtc_probability": "how often the likeliest are left out, for variety; 0: never",
    "xtc_threshold": "how likely a token is that xtc may leave out; above 0.5: none",
    "dry_multiplier": "weight of the penalty on sequences that repeat; 0: off",
    "dry_base": "how that penalty grows with the length of what repeats",
    "dry_allowed_length": "tokens that may repeat without it",
    "dry_penalty_last_n": "tokens that it looks back on; 0: none, -1: the whole context",
    "dry_sequence_breakers": "texts at which it begins anew",
    "adaptive_target": "the probability that chosen tokens shall have; negative: off",
    "adaptive_decay": "weight of the tokens before, where the target adapts",
    "logit_bias": "added to tokens' scores by id or text; -100 or false bans one",
    "banned_strings": "texts that no answer has",
    "min_tokens": "tokens before the model may end its answer",
    "stop": "texts at which the answer ends; they are not part of it",
    "num_predict": "most tokens of an answer; -1: until the context is full",
    "num_keep": "first tokens that stay when a full context lets go; -1: the whole prompt",
    "num_ctx": "context of one conversation, in tokens; unset: by the memory there is",
    "num_batch": "tokens of a prompt that are computed in one step",
    "num_thread": "threads; 0: one for each core",
    "num_gpu": "layers on the graphics card; -1: all that fit, 0: none",
    "devices": "devices for the layers, the first filled first; as corral doctor names them",
    "use_mmap": "map the file into memory instead of reading it",
    "use_mlock": "keep the weights in main memory, whatever else wants it",
    "main_gpu": "number of the card that holds what is not split",
    "tensor_split": "shares of the cards, such as 3,1; unset: by their free memory",
    "num_cpu_moe": "layers whose experts stay in main memory; -1: all of them",
    "cache_type_k": "numbers that the keys of the cache are kept in",
    "cache_type_v": "numbers that its values are kept in",
    "flash_attention": "compute attention in one pass that saves memory",
    "num_parallel": "most requests that the model answers at once",
    "rope_scaling": "how positions beyond the trained context are made",
    "rope_frequency_base": "base of these positions; 0: the model's own",
    "rope_frequency_scale": "0.5 doubles the context; 0: the model's own",
    "yarn_orig_ctx": "context that yarn stretches, in tokens; 0: what the model was trained for",
    "keep_alive": "how long the idle model stays: seconds, or 10m; -1: for ever",
    "speculate": "whether tokens are guessed and checked several at a time",
    "draft_num_predict": "most tokens guessed at a time; 0: none",
}


def default_text(name: str) -> str:
    """Return what option ``name`` is when nobody says, as people type it; empty: unset or a list.

    Of the options for loading a model, settings and the machine decide.
    """
    default = getattr(SamplingParams(), name, None)
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, int | float) else ""
