"""Markdown that was written for a web page, made fit for reading here: HTML in it goes or turns.

Model cards are full of it: centred pictures, tables of links, comments.  What has a form in
Markdown gets that, the words of the rest stay.  What stands in code stays as it is.  Nothing is
fetched.  Pure, and as long as the text: a stranger wrote it.
"""

from __future__ import annotations

import re
from html import unescape

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_TICKS = re.compile(r"(`+)")
#: Elements of HTML: what is not one of these is no tag, but perhaps a word of a chat template.
_NAMES = (
    "a abbr article aside audio b big blockquote br button caption center code col colgroup dd"
    " del details div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i iframe"
    " img ins kbd li link main mark meta nav ol p picture pre s samp section small source span"
    " strike strong style sub summary sup svg table tbody td tfoot th thead tr tt u ul var video"
)
_TAG = re.compile(rf"<(/?)({'|'.join(_NAMES.split())})(?=[\s/>])([^<>]{{0,2000}})>", re.IGNORECASE)
_VALUE = re.compile(r"""([a-z]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
#: What stands in place of a tag, by its name; its end has the second.
_MARKS = {
    **dict.fromkeys(("b", "strong", "summary"), ("**", "**")),
    **dict.fromkeys(("i", "em"), ("*", "*")),
    **dict.fromkeys(("s", "del", "strike"), ("~~", "~~")),
    **dict.fromkeys(("code", "kbd", "samp", "tt"), ("`", "`")),
    **{f"h{n}": (f"\n\n{'#' * n} ", "\n\n") for n in range(1, 7)},
    **dict.fromkeys(("p", "div", "table", "ul", "ol", "details", "section"), ("\n\n", "\n\n")),
    **dict.fromkeys(("td", "th"), ("", " ")),
    **dict.fromkeys(("tr", "dt", "dd"), ("", "\n")),
    "li": ("\n- ", ""),
    "br": ("\n", ""),
    "hr": ("\n\n---\n\n", ""),
}


def without_html(text: str) -> str:
    """Return ``text`` without its tags and comments; lines in code blocks stay as they are."""
    kept: list[str] = []
    prose: list[str] = []
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            kept.append(line)
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif mark:
            kept += [_plain("\n".join(prose)), line]
            prose, fence = [], mark[1]
        else:
            prose.append(line)
    kept.append(_plain("\n".join(prose)))
    return "\n".join(kept).strip("\n")


def _plain(text: str) -> str:
    """Prose without tags; what stands between equal runs of backticks stays."""
    text = _without_comments(text)
    if "<" not in text:
        return text
    made: list[str] = []
    prose: list[str] = []
    ticks = ""
    for part in _TICKS.split(text):
        if part.startswith("`"):
            ticks = part if not ticks else "" if part == ticks else ticks
        if ticks or part.startswith("`"):
            made += [_turned("".join(prose)), part]
            prose = []
        else:
            prose.append(part)
    made.append(_turned("".join(prose)))
    # Where an element stood alone there would be lines of nothing but blanks.
    lines = [
        line.strip() if not line.strip() else line.rstrip() for line in "".join(made).split("\n")
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _without_comments(text: str) -> str:
    made, at = [], 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        made.append(text[at:start])
        at = end + 3
    return "".join([*made, text[at:]])


def _turned(text: str) -> str:
    """Prose with Markdown in place of tags, and their words."""
    targets: list[str] = []

    def turn(found: re.Match[str]) -> str:
        is_end, name = bool(found[1]), found[2].lower()
        if name == "a":
            if not is_end:
                targets.append(_values(found[3]).get("href", ""))
                return "[" if targets[-1] else ""
            target = targets.pop() if targets else ""
            return f"](<{target}>)" if target else ""
        if name == "img" and not is_end:
            return _values(found[3]).get("alt", "")
        return _MARKS.get(name, ("", ""))[is_end]

    return _TAG.sub(turn, text)


def _values(text: str) -> dict[str, str]:
    """The attributes of a tag that have values, without what would end a link."""
    found = {}
    for name, *values in _VALUE.findall(text):
        value = unescape("".join(values))
        found[name.lower()] = re.sub(r"[\s<>]", " ", value).strip()
    return found
