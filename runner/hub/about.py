"""What a hub's own words say of a model: its languages, and what it can do beside completing.

Pure.  A hub knows what owners wrote: a model of which nothing is said may be able to all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from runner.domain.model import Capability

#: ISO 639-1, the two-letter codes that both hubs tag languages with.
_CODES = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu"
    " cv cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he"
    " hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko"
    " kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd"
    " ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se"
    " sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty"
    " ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
_LANGUAGES = frozenset(_CODES.split())
#: What the hubs call models that see pictures.
_SEEING = frozenset(
    ("image-text-to-text", "visual-question-answering", "image-to-text", "any-to-any", "vision")
)
_CALLING = frozenset(
    ("tools", "tool-use", "tool-calling", "function-calling", "function_calling", "tool_use")
)
#: A template that offers tools to the model names them; ``tools_in_user_message`` does, too.
_OFFERS_TOOLS = re.compile(r"\btools")


def languages(words: Iterable[object]) -> tuple[str, ...]:
    """Return the languages among a repository's words, as codes of two letters in order."""
    told = (str(word).lower().removeprefix("language:") for word in words)
    return tuple(sorted({word for word in told if word in _LANGUAGES}))


def abilities(
    words: Iterable[object], files: Iterable[str] = (), template: str = ""
) -> tuple[Capability, ...]:
    """Return what a model can do beside completing.

    Args:
        words: The repository's tags and tasks.
        files: Paths of its files: a projector is what a model sees with.
        template: Its chat template, where the hub tells it.
    """
    told = {str(word).lower() for word in words}
    found = []
    if told & _CALLING or _OFFERS_TOOLS.search(template):
        found.append(Capability.TOOLS)
    if told & _SEEING or any("mmproj" in path.lower() for path in files):
        found.append(Capability.VISION)
    return tuple(found)
