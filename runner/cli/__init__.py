"""The ``corral`` command: one file a command, and what they print with.

Speaks to the daemon through ``client`` only; never imports daemon, service, store or engine.
"""
