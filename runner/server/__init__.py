"""HTTP: routes, streams, statuses, and who may call what.

Must never know the store, the workers or the engine; it calls the services it is given.
"""
