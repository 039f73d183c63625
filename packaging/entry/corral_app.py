"""What the frozen `corral-app` runs."""

from gui.app import entry

entry()
