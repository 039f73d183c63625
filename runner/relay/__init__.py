"""A device of another machine, as bytes between two: who may have it, and how it travels.

Must not know the engine, asyncio, HTTP, models or settings.
"""
