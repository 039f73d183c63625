"""Use cases: what happens when somebody wants an answer, a model, a pull.

Must not know aiohttp or any dialect.
"""
