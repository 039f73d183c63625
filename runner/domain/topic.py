"""What can change in a daemon, told without saying how: whoever cares looks again."""

from __future__ import annotations

from enum import StrEnum


class Topic(StrEnum):
    """A list that is not what it was."""

    MODEL = "model"  # the library
    WORKER = "worker"  # the models in memory
    LOAD = "load"  # the models on their way there
    REQUEST = "request"  # the requests that run or wait
    SETTINGS = "settings"
