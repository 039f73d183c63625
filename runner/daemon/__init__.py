"""The daemon's process: builds every part, serves, and ends in order.

The only room that knows all others but the CLI; nobody imports it.
"""
