"""How many threads each model may compute with, when several do, or other programs do.  Pure.

llama.cpp's threads wait for each other by spinning.  One that the system has put aside for
somebody else makes all others of its model wait, so two models with a thread for every core each
slow each other down out of all proportion, and so does one beside a busy program.  Threads that
never outnumber the cores have nobody to wait for.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Share of a core that others must use before it is left to them, on a machine with many cores ...
_LEAST_SHARE = 0.25
#: ... and how much less than that before it is taken back, so that the count does not flutter.
_BAND = 0.15


def shared_out(wants: Sequence[int], n_cores: int) -> list[int]:
    """Return the threads of each model that computes now.

    Args:
        wants: Most threads of each, in the order in which they began.
        n_cores: Cores for all of them together.

    Returns:
        At least one and at most what it wants for each.  Where that is fewer than all want, their
        sum is ``n_cores``, or the number of models if that is more, and no two that both have fewer
        than they want differ by more than one; those that began first have the larger part.
    """
    shares = [0] * len(wants)
    n_left = max(n_cores, len(wants))
    while n_left > 0:
        hungry = [i for i, want in enumerate(wants) if shares[i] < max(1, want)]
        if not hungry:
            break
        for i in hungry[:n_left]:
            shares[i] += 1
        n_left -= min(n_left, len(hungry))
    return shares


def left_to_others(n_foreign: float, before: int, n_cores: int) -> int:
    """Return how many cores to leave to other programs.

    A thread less costs at most its part of the speed, 1 of ``n_cores``; a thread that is put aside
    costs nearly all of it for as long as that lasts.  So the busier of two cores must be used for
    half of the time before one thread less is the better bargain, that of eight for an eighth.

    Args:
        n_foreign: Cores that other programs keep busy, on average: 1.0 is one of them, always.
        before: What was returned last.
        n_cores: Cores of this machine.
    """
    threshold = max(_LEAST_SHARE, 1 / max(2, n_cores))
    up = int(n_foreign - threshold + 1) if n_foreign >= threshold else 0
    down = int(n_foreign + _BAND - threshold + 1) if n_foreign + _BAND >= threshold else 0
    return min(max(up, min(before, down)), max(0, n_cores - 1))
