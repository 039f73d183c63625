"""JSON of the wire APIs to and from the domain, in both directions; pure.

Knows nothing of HTTP, sockets, processes or the other dialect in use.
"""
