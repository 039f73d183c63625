"""Daemon ⇄ worker: the messages and their encoding.

Knows nothing of asyncio, the engine or HTTP.
"""
