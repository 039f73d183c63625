"""What a chat template can do with a conversation, read from its source and never by running it.

The syntax tree tells: whether it looks at ``tools``, whether its text has a family's marks of
thinking, whether it knows a system role.  A source that is not valid Jinja can do nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from jinja2 import nodes

from runner.domain.model import Capability
from runner.prompt.compiled import is_go
from runner.prompt.gotemplate.chat import reads
from runner.prompt.source import parsed, texts_of
from runner.prompt.thinking import FAMILIES

#: Variables and fields that only templates of thinking models read.
_THINKING_NAMES = frozenset({"enable_thinking", "reasoning_effort", "reasoning_content"})
_TOOL_NAMES = frozenset({"tools", "functions"})


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a template knows of.

    Attributes:
        tools: It tells the model which tools there are.
        thinking: The model thinks before it answers, always or when asked.
        system: It has a place for a system message.
        insert: It has a place for what follows the answer.
    """

    tools: bool = False
    thinking: bool = False
    system: bool = False
    insert: bool = False

    def capabilities(self) -> tuple[Capability, ...]:
        """Return those of them that have a name in the API."""
        found = (
            (self.tools, Capability.TOOLS),
            (self.thinking, Capability.THINKING),
            (self.insert, Capability.INSERT),
        )
        return tuple(capability for has, capability in found if has)


@lru_cache(maxsize=256)
def abilities(template: str) -> Abilities:
    """Return what ``template`` can do; nothing when it is empty or not valid."""
    if is_go(template):
        read_by_go = reads(template)
        found = read_by_go
        return Abilities(found.tools, found.thinking, found.system, found.insert)
    tree = parsed(template) if template else None
    if tree is None:
        return Abilities()
    read = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "load"}
    texts = list(texts_of(tree))
    fields = {attribute.attr for attribute in tree.find_all(nodes.Getattr)} | set(texts)
    marks = [mark for markers in FAMILIES for mark in (markers.open, markers.close)]
    return Abilities(
        tools=bool(read & _TOOL_NAMES),
        thinking=bool((read | fields) & _THINKING_NAMES)
        or any(mark in text for mark in marks for text in texts),
        # A role that is written as it comes has a place, unless the template refuses this one.
        system=not any("system role not supported" in text.lower() for text in texts),
    )
