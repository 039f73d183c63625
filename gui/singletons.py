"""Keeps ``None``, ``True`` and ``False`` alive where Qt's bindings give them back too often.

WORKAROUND PySide6 6.12.0 on Python 3.11: the bindings are compiled for Pythons whose ``None``
lasts for ever (PEP 683, from 3.12 on), so each call that returns nothing takes one reference away
from it.  A few thousand calls later Python ends with "deallocating None".  Enough references for
any session are added once; from 3.12 on nothing is done.
"""

from __future__ import annotations

import ctypes
import sys

#: More than a year of calls takes away.
_ENOUGH = 1 << 40


def make_lasting() -> None:
    """Give the three more references than can be lost; called once, before Qt is used."""
    if sys.version_info >= (3, 12):
        return
    for value in (None, True, False):
        # CPython 3.11's PyObject begins with its count (Include/object.h).
        ctypes.c_ssize_t.from_address(id(value)).value += _ENOUGH
