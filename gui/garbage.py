"""Python's cyclic garbage, collected on the GUI's thread and nowhere else.

Python collects in whichever thread happens to allocate.  A widget that is part of a cycle would
then be destroyed by a thread of the link, while Qt allows that on the thread it lives on only: the
app would end with a segmentation fault.  So automatic collection is off, and the GUI's thread
collects by Python's own thresholds whenever its event loop has nothing to do.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QAbstractEventDispatcher


def collect_here() -> None:
    """Leave collecting to this thread; its event loop must be there already."""
    gc.disable()
    gc.freeze()  # what a start leaves behind lasts; looking at it again and again only costs
    QAbstractEventDispatcher.instance().aboutToBlock.connect(collect_due)


def collect_due() -> None:
    """Collect the oldest generation that is due; mostly none is."""
    thresholds = gc.get_threshold()
    for generation in (2, 1, 0):
        if gc.get_count()[generation] > thresholds[generation]:
            gc.collect(generation)
            return
