"""The Modelfile: its grammar, read without asking what the words mean to anybody else.

Knows nothing of the store, hubs, HTTP or processes.
"""
