"""``python -m gui``."""

from gui.app import entry

if __name__ == "__main__":
    entry()
