"""What schemathesis changes in its bodies, so that they reach the engine and come back soon.

Loaded by schemathesis itself, in its own process; see ``test_schemathesis.py``.
"""

from __future__ import annotations

import schemathesis

#: Fields that say how long an answer may get, and the most they may say.
_LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")
_MOST = 8


@schemathesis.hook
def map_body(context, body):
    """Most bodies ask the model that is there; none asks for a long answer."""
    if not isinstance(body, dict):
        return body
    if isinstance(body.get("model"), str) and len(repr(body)) % 4:
        body["model"] = "tiny"
    for each in (body, body.get("options")):
        if isinstance(each, dict):
            for name in _LENGTHS:
                if isinstance(each.get(name), int) and each[name] > _MOST:
                    each[name] = _MOST
    return body
