"""llama-cpp-python's low-level API, without the half of the package that is not used here.

Beside the C functions the package has a chat program of its own.  It comes along with any import,
takes several times as long to load as all the rest together, and sends llama.cpp's log to the
terminal.  So an empty module stands in its place for the moment of the import; whoever wants it
can still import ``llama_cpp.llama`` by its name.

All files of this folder take the library from here.
"""

from __future__ import annotations

import sys
from types import ModuleType

_UNUSED = "llama_cpp.llama"

_stands_in = "llama_cpp" not in sys.modules
if _stands_in:
    sys.modules[_UNUSED] = ModuleType(_UNUSED)
try:
    import llama_cpp as llama_cpp
    from llama_cpp._ggml import libggml as libggml, libggml_base_path as libggml_base_path
finally:
    if _stands_in:
        del sys.modules[_UNUSED]

__all__ = ["libggml", "libggml_base_path", "llama_cpp"]
