"""Go's template language, as Modelfiles write TEMPLATE in it; knows nothing beyond its own room.

``lex`` and ``parse`` make a tree of a source, ``execute`` runs one over ``values`` with the
functions of ``functions``, ``chat`` is what Ollama does with it for a conversation.
"""
