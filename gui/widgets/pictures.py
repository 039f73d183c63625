"""Pictures in a row, small: read on a thread of their own, however large their files are."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import SimpleQueue

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QMimeData, QSize, Qt, QTimer
from PySide6.QtGui import QImage, QImageReader, QImageWriter, QPixmap
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from gui.theme import S
from gui.words import tr

#: Pixels of a picture in a row, at most.
_MOST = QSize(220, 140)
#: Milliseconds between two looks at what was read.
_LOOK_MS = 30
#: Megabytes that reading one picture may take: what claims to be larger is not shown.
_MOST_MB = 256


class PictureRow(QWidget):
    """Shows the pictures it was last given; hidden without any."""

    def __init__(self, parent: QWidget | None = None, most: QSize = _MOST) -> None:
        """``most``: pixels of a picture."""
        super().__init__(parent)
        self._most = most
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(S)
        self._row.addStretch()
        self._shown: tuple[bytes, ...] = ()
        self._labels: list[QLabel] = []
        self._read: SimpleQueue[tuple[int, QImage]] = SimpleQueue()
        self._n_missing = 0
        self._look = QTimer(self)
        self._look.setInterval(_LOOK_MS)
        self._look.timeout.connect(self._show)
        self.hide()

    @property
    def labels(self) -> list[QLabel]:
        """One for each picture."""
        return self._labels

    def show_pictures(self, contents: Sequence[bytes]) -> None:
        """Show the pictures in these files."""
        if tuple(contents) == self._shown:
            return
        self._shown = tuple(contents)
        for label in self._labels:
            self._row.removeWidget(label)
            label.hide()
            label.deleteLater()
        self._labels = []
        for place, _ in enumerate(self._shown):
            label = QLabel(tr("Picture"), self)
            label.setAccessibleName(tr("Picture {n}", n=place + 1))
            self._row.insertWidget(place, label)
            self._labels.append(label)
        self.setVisible(bool(self._shown))
        self._read, self._n_missing = SimpleQueue(), len(self._shown)
        if self._shown:
            # The thread knows the queue alone: no widget may end on it.
            work = (self._read, self._shown, self._most, self.devicePixelRatioF())
            threading.Thread(target=_decode, args=work, name="pictures", daemon=True).start()
            self._look.start()

    def _show(self) -> None:
        while not self._read.empty():
            place, image = self._read.get()
            self._n_missing -= 1
            if not image.isNull():
                self._labels[place].setPixmap(QPixmap.fromImage(image))
        if self._n_missing <= 0:
            self._look.stop()


def _decode(
    read: SimpleQueue[tuple[int, QImage]], contents: Sequence[bytes], most: QSize, ratio: float
) -> None:
    """Read the pictures, one after the other; not on the GUI's thread."""
    for place, content in enumerate(contents):
        image = small(content, most * ratio)
        image.setDevicePixelRatio(ratio)
        read.put((place, image))


def small(content: bytes, most: QSize) -> QImage:
    """Return a picture in at most this size; a null one when it cannot be read.  Any thread."""
    buffer = QBuffer()
    buffer.setData(QByteArray(content))
    buffer.open(QIODevice.OpenModeFlag.ReadOnly)
    reader = QImageReader(buffer)
    reader.setAutoTransform(True)
    reader.setAllocationLimit(_MOST_MB)
    size = reader.size()
    if size.isValid() and (size.width() > most.width() or size.height() > most.height()):
        reader.setScaledSize(size.scaled(most, Qt.AspectRatioMode.KeepAspectRatio))
    return reader.read()


def pasted(source: QMimeData) -> bytes:
    """Return the picture on a clipboard as a PNG file; empty: there is none."""
    image = source.imageData() if source.hasImage() else None
    if not isinstance(image, QImage) or image.isNull():
        return b""
    held = QByteArray()
    buffer = QBuffer(held)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    QImageWriter(buffer, QByteArray(b"png")).write(image)
    return bytes(held.data())
