"""Colours, spacing and type: one palette for each theme, one style sheet made from it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication


@dataclass(frozen=True, slots=True)
class Colours:
    """Named by what they are for, ``#rrggbb``; text has a contrast of 4.5 or more."""

    ground: str  # the window
    surface: str  # cards and fields on it
    raised: str  # what the pointer is over
    line: str
    text: str
    muted: str
    accent: str
    on_accent: str
    good: str
    warn: str
    bad: str
    code: str  # ground of code
    selected: str


LIGHT = Colours(
    ground="#f6f7f8",
    surface="#ffffff",
    raised="#eceff1",
    line="#d9dee2",
    text="#1b2126",
    muted="#5c6770",
    accent="#24704f",
    on_accent="#ffffff",
    good="#24704f",
    warn="#8a5a00",
    bad="#b3261e",
    code="#e9edf0",
    selected="#dcebe4",
)
DARK = Colours(
    ground="#15181b",
    surface="#1d2125",
    raised="#262b30",
    line="#333a41",
    text="#e6e9ec",
    muted="#9aa5ae",
    accent="#6cc39c",
    on_accent="#0d1f17",
    good="#6cc39c",
    warn="#e0b252",
    bad="#f28b82",
    code="#22272c",
    selected="#233a31",
)
#: The most contrast there is.
CONTRAST = Colours(
    ground="#000000",
    surface="#000000",
    raised="#1f1f1f",
    line="#ffffff",
    text="#ffffff",
    muted="#e0e0e0",
    accent="#ffd60a",
    on_accent="#000000",
    good="#7dff9b",
    warn="#ffd60a",
    bad="#ff8a80",
    code="#141414",
    selected="#333300",
)
THEMES = {"light": LIGHT, "dark": DARK, "contrast": CONTRAST}

#: Marks that a style sheet can only take from files.
_PICTURES = Path(__file__).parent / "resources"

#: Steps of the spacing scale, in pixels at 100 %.
XS, S, M, L, XL = 4, 8, 12, 16, 24
#: The usual size of text, for which sizes in pixels are given.
USUAL_PX = 14


_SHEET = """
* {{ font-size: {size}px; }}
{family}QWidget {{ color: {text}; }}
QMainWindow, QDialog, QWidget#page {{ background: {ground}; }}
QToolTip {{ background: {surface}; color: {text}; border: 1px solid {line}; padding: 4px; }}
QWidget#card {{ background: {surface}; border: 1px solid {line}; border-radius: 8px; }}
QWidget#sidebar {{ background: {surface}; border-right: 1px solid {line}; }}
QLabel {{ background: transparent; }}
QLabel[role="title"] {{ font-size: {title}px; font-weight: 600; }}
QLabel[role="heading"] {{ font-size: {heading}px; font-weight: 600; }}
QLabel[role="muted"] {{ color: {muted}; }}
QLabel[role="bad"] {{ color: {bad}; }}
QLabel[role="good"] {{ color: {good}; }}
QLabel[role="warn"] {{ color: {warn}; }}
QPushButton {{ background: {surface}; border: 1px solid {line}; border-radius: 6px;
  padding: {pad}px 14px; }}
QPushButton:hover {{ background: {raised}; }}
QPushButton:pressed {{ background: {line}; }}
QPushButton:disabled {{ color: {muted}; }}
QPushButton:focus, QToolButton:focus {{ border: 2px solid {accent}; }}
QPushButton[role="primary"] {{ background: {accent}; color: {on_accent}; border-color: {accent};
  font-weight: 600; }}
QPushButton[role="primary"]:disabled {{ background: {raised}; color: {muted};
  border-color: {line}; }}
QPushButton[role="danger"] {{ color: {bad}; }}
QPushButton[role="nav"] {{ text-align: left; border: 1px solid transparent; background: transparent;
  padding: 8px 12px; }}
QPushButton[role="nav"]:hover {{ background: {raised}; }}
QPushButton[role="nav"]:checked {{ background: {selected}; font-weight: 600; }}
QPushButton[role="nav"]:focus {{ border: 1px solid {accent}; }}
QLabel[role="who"] {{ color: {muted}; font-weight: 600; }}
QLabel[role="small"] {{ color: {muted}; font-size: {small}px; }}
QWidget#panel {{ background: {surface}; }}
QFrame#said {{ background: {selected}; border-radius: 12px; }}
QFrame#composer {{ background: {surface}; border: 1px solid {line}; border-radius: 14px; }}
QFrame#chip {{ background: {raised}; border-radius: 8px; }}
QFrame#bar {{ background: {ground}; border-bottom: 1px solid {line}; }}
QFrame#toast {{ background: {raised}; border: 1px solid {line}; border-radius: 8px; }}
QPlainTextEdit#prompt, QPlainTextEdit#prompt:focus {{ background: transparent; border: none; }}
QTextBrowser#markdown {{ background: transparent; border: none; padding: 0; }}
QListView#chats {{ background: transparent; border: none; }}
QLineEdit[wrong="true"] {{ border: 1px solid {bad}; }}
QPushButton#round {{ padding: 8px 11px; border-radius: 10px; }}
QToolButton[popupMode="1"] {{ padding-right: 16px; }}
QToolButton::menu-button {{ border: none; width: 14px; }}
QToolButton::menu-arrow {{ image: url({pictures}/chevron-down.svg); width: {arrow}px;
  height: {arrow}px; }}
QToolButton::menu-indicator {{ image: none; }}
QToolButton {{ background: transparent; border: 2px solid transparent; border-radius: 6px;
  padding: 4px; }}
QToolButton:hover, QToolButton:checked {{ background: {raised}; }}
QLineEdit, QPlainTextEdit, QTextEdit, QTextBrowser, QSpinBox, QDoubleSpinBox, QComboBox {{
  background: {surface}; border: 1px solid {line}; border-radius: 6px; padding: {pad}px 8px;
  selection-background-color: {accent}; selection-color: {on_accent}; }}
QLineEdit:focus, QPlainTextEdit:focus, QTextEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus,
QComboBox:focus {{ border: 1px solid {accent}; }}
QComboBox::drop-down {{ border: none; width: 24px; }}
QComboBox::down-arrow, QSpinBox::down-arrow, QDoubleSpinBox::down-arrow {{
  image: url({pictures}/chevron-down.svg); width: 12px; height: 12px; }}
QSpinBox::up-arrow, QDoubleSpinBox::up-arrow {{ image: url({pictures}/chevron-up.svg); width: 10px;
  height: 10px; }}
QSpinBox, QDoubleSpinBox {{ padding-right: 22px; }}
QSpinBox::up-button, QSpinBox::down-button, QDoubleSpinBox::up-button,
QDoubleSpinBox::down-button {{ border: none; background: transparent; width: 20px; }}
QCheckBox {{ spacing: 8px; }}
QRadioButton {{ spacing: 8px; }}
QRadioButton::indicator {{ width: {tick_px}px; height: {tick_px}px; border: 1px solid {muted};
  border-radius: {radio}px; background: {surface}; }}
QRadioButton::indicator:checked {{ width: {dot}px; height: {dot}px;
  border: {ring}px solid {accent}; }}
QRadioButton:disabled {{ color: {muted}; }}
QRadioButton:focus {{ color: {accent}; }}
QCheckBox::indicator {{ width: {tick_px}px; height: {tick_px}px; border: 1px solid {muted};
  border-radius: 4px; background: {surface}; }}
QCheckBox::indicator:checked {{ background: {accent}; border-color: {accent};
  image: url({pictures}/check-{tick}.svg); }}
QCheckBox:focus {{ color: {accent}; }}
QComboBox QAbstractItemView {{ background: {surface}; border: 1px solid {line};
  selection-background-color: {selected}; selection-color: {text}; }}
QAbstractItemView {{ background: {surface}; border: 1px solid {line}; border-radius: 8px;
  selection-background-color: {selected}; selection-color: {text}; outline: none;
  alternate-background-color: {ground}; }}
QAbstractItemView::item {{ padding: {pad}px 6px; }}
QAbstractItemView:focus {{ border-color: {accent}; }}
QTextBrowser#markdown:focus {{ background: {raised}; }}
QHeaderView::section {{ background: {ground}; color: {muted}; border: none;
  border-bottom: 1px solid {line}; padding: 6px; font-weight: 600; }}
QHeaderView::up-arrow, QHeaderView::down-arrow {{ subcontrol-position: top center; width: 9px;
  height: 9px; }}
QHeaderView::up-arrow {{ image: url({pictures}/chevron-up.svg); }}
QHeaderView::down-arrow {{ image: url({pictures}/chevron-down.svg); }}
QTableCornerButton::section {{ background: {ground}; border: none; }}
QProgressBar {{ background: {raised}; border: none; border-radius: 4px; min-height: 8px;
  max-height: 8px; }}
QProgressBar::chunk {{ background: {accent}; border-radius: 4px; }}
QScrollArea {{ border: 1px solid transparent; background: transparent; }}
QScrollArea:focus {{ border-color: {accent}; }}
QScrollBar:vertical {{ width: 10px; background: transparent; margin: 0; }}
QScrollBar:horizontal {{ height: 10px; background: transparent; margin: 0; }}
QScrollBar::handle {{ background: {line}; border-radius: 5px; min-height: 28px; min-width: 28px; }}
QScrollBar::handle:hover {{ background: {muted}; }}
QScrollBar::add-line, QScrollBar::sub-line, QScrollBar::add-page, QScrollBar::sub-page {{
  background: none; border: none; height: 0; width: 0; }}
QMenu {{ background: {surface}; border: 1px solid {line}; padding: 4px; }}
QMenu::item {{ padding: 6px 20px; border-radius: 4px; }}
QMenu::item:selected {{ background: {selected}; }}
QMenu::separator {{ height: 1px; background: {line}; margin: 4px 8px; }}
QStatusBar QLabel {{ padding: 2px 8px; color: {muted}; }}
QStatusBar::item {{ border: none; }}
QStatusBar {{ background: {surface}; border-top: 1px solid {line}; color: {muted}; }}
QSplitter::handle {{ background: {line}; width: 1px; height: 1px; }}
QTabBar::tab {{ padding: 6px 7px; border-bottom: 2px solid transparent; color: {muted}; }}
QTabBar::tab:selected {{ color: {text}; border-bottom-color: {accent}; }}
QTabBar::tab:selected:focus {{ background: {selected}; color: {text}; }}
QTabBar::scroller {{ width: {scroller}px; }}
QTabBar QToolButton {{ background: {surface}; border: 1px solid {line}; border-radius: 4px;
  padding: 0; margin: 0; }}
QTabBar QToolButton::left-arrow {{ image: url({pictures}/chevron-left.svg); width: {arrow}px;
  height: {arrow}px; }}
QTabBar QToolButton::right-arrow {{ image: url({pictures}/chevron-right.svg); width: {arrow}px;
  height: {arrow}px; }}
QTabWidget::pane {{ border: none; }}
QSlider::groove:horizontal {{ height: 4px; background: {line}; border-radius: 2px; }}
QSlider::handle:horizontal {{ background: {accent}; width: 14px; margin: -5px 0;
  border-radius: 7px; }}
"""


class Theme(QObject):
    """The look in use; there is one."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.colours = LIGHT
        self.font_px = 14
        self.family = ""
        self._wanted = ""
        self._is_dense = False

    def apply(
        self, wanted: str = "", *, font_px: int = 14, is_dense: bool = False, family: str = ""
    ) -> None:
        """Dress the application.

        Args:
            wanted: ``light``, ``dark``, ``contrast``, or empty for the system's.
            font_px: Size of plain text.
            is_dense: Whether rows stand closer.
            family: Font of plain text; empty: the system's.
        """
        self.family = family
        self._wanted, self.font_px, self._is_dense = wanted, font_px, is_dense
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        is_dark = application.styleHints().colorScheme() is Qt.ColorScheme.Dark
        self.colours = THEMES.get(wanted) or (DARK if is_dark else LIGHT)
        application.setStyle("Fusion")
        application.setPalette(_palette(self.colours))
        application.setStyleSheet(self._sheet())
        self.changed.emit()

    def scaled(self, n_px: int) -> int:
        """Return what ``n_px`` pixels beside the usual size of text are beside the one in use."""
        return round(n_px * self.font_px / USUAL_PX)

    def follow_system(self) -> None:
        """Change with the desktop, as long as no theme was asked for."""
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        application.styleHints().colorSchemeChanged.connect(lambda _: self._refresh())

    def _refresh(self) -> None:
        self.apply(self._wanted, font_px=self.font_px, is_dense=self._is_dense, family=self.family)

    def _sheet(self) -> str:
        names = {f.name: getattr(self.colours, f.name) for f in fields(Colours)}
        sizes = {
            "size": self.font_px,
            "small": max(10, self.font_px - 2),
            "heading": self.font_px + 2,
            "title": self.font_px + 8,
            "pad": 3 if self._is_dense else 6,
            "tick_px": self.scaled(16),
            "radio": self.scaled(16) // 2 + 1,
            "ring": self.scaled(5),
            "dot": self.scaled(16) + 2 - 2 * self.scaled(5),
            "arrow": self.scaled(11),
            "scroller": self.scaled(26),
            "family": _family_rule(self.family),
        }
        tick = next(name for name, colours in THEMES.items() if colours is self.colours)
        return _SHEET.format(**names, **sizes, pictures=_PICTURES.as_posix(), tick=tick)


def _family_rule(family: str) -> str:
    """The line of a style sheet that sets the font; empty for the system's."""
    safe = "".join(c for c in family if c.isprintable() and c not in '"\\{};')
    return f'QWidget {{ font-family: "{safe}"; }}\n' if safe else ""


def _palette(colours: Colours) -> QPalette:
    palette = QPalette()
    role = QPalette.ColorRole
    for name, colour in (
        (role.Window, colours.ground),
        (role.Base, colours.surface),
        (role.AlternateBase, colours.ground),
        (role.Button, colours.surface),
        (role.WindowText, colours.text),
        (role.Text, colours.text),
        (role.ButtonText, colours.text),
        (role.PlaceholderText, colours.muted),
        (role.ToolTipBase, colours.surface),
        (role.ToolTipText, colours.text),
        (role.Highlight, colours.accent),
        (role.HighlightedText, colours.on_accent),
        (role.Link, colours.accent),
    ):
        palette.setColor(name, QColor(colour))
    palette.setColor(QPalette.ColorGroup.Disabled, role.Text, QColor(colours.muted))
    palette.setColor(QPalette.ColorGroup.Disabled, role.ButtonText, QColor(colours.muted))
    return palette


THEME = Theme()
