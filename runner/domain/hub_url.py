"""Links to the two hubs, as a browser or a model page shows them, taken apart.  Pure text.

https://huggingface.co/owner/repo                          also ``hf://owner/repo``
https://huggingface.co/owner/repo/tree/<revision>
https://huggingface.co/owner/repo/blob/<revision>/<path>   also resolve, raw
https://hf-mirror.com/owner/repo                           a mirror's links are its hub's
https://www.modelscope.cn/models/owner/repo                also ``ms://owner/repo``
https://www.modelscope.cn/models/owner/repo/file/view/<revision>/<path>   also resolve
https://www.modelscope.cn/api/v1/models/owner/repo/repo?Revision=..&FilePath=..
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

HUGGING_FACE = "hf.co"
MODELSCOPE = "modelscope.cn"
MODELSCOPE_INTERNATIONAL = "modelscope.ai"

#: Hosts of the hubs, and the spelling of each that names use.
HUB_HOSTS = {
    "hf.co": HUGGING_FACE,
    "huggingface.co": HUGGING_FACE,
    "www.huggingface.co": HUGGING_FACE,
    "hf-mirror.com": HUGGING_FACE,  # the same repositories; HF_ENDPOINT says whom to ask
    "modelscope.cn": MODELSCOPE,
    "www.modelscope.cn": MODELSCOPE,
    "modelscope.ai": MODELSCOPE_INTERNATIONAL,
    "www.modelscope.ai": MODELSCOPE_INTERNATIONAL,
}
_SCHEMES = {"hf": HUGGING_FACE, "huggingface": HUGGING_FACE, "ms": MODELSCOPE}


@dataclass(frozen=True, slots=True)
class HubLink:
    """What a link points at.

    Attributes:
        host: As names spell it: ``hf.co``.
        repository: ``owner/name``, perhaps with ``:tag`` at its end.
        revision: Branch, tag or commit; empty when the link names none.
        file: Path inside the repository; empty when the link names none.
    """

    host: str
    repository: str
    revision: str = ""
    file: str = ""


def read_link(text: str) -> HubLink | None:
    """Return what ``text`` points at; ``None`` when it is no link to a hub's model.

    Text without a scheme is a link when it goes deeper than a name can:
    ``hf.co/owner/repo/blob/main/x.gguf``.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        scheme, rest = "https", text.strip()
    scheme = scheme.lower()
    if scheme in _SCHEMES:
        rest = f"{_SCHEMES[scheme]}/{rest}"
    elif scheme not in ("http", "https"):
        return None
    try:
        parts = urlsplit(f"//{rest}")
        host = HUB_HOSTS.get((parts.hostname or "").lower())
    except ValueError:  # brackets that are no address
        return None
    words = [unquote(word) for word in parts.path.split("/") if word]
    if host is None or (not separator and len(words) < 4):
        return None
    if host == HUGGING_FACE:
        return _hugging_face(host, words, is_uri=scheme in _SCHEMES)
    return _modelscope(host, words, parse_qs(parts.query), is_uri=scheme in _SCHEMES)


def _hugging_face(host: str, words: list[str], *, is_uri: bool) -> HubLink | None:
    if words[:1] == ["models"] and len(words) > 2:
        words = words[1:]
    return _of_repository(host, words, ("blob", "resolve", "raw", "tree"), is_uri=is_uri)


def _modelscope(
    host: str, words: list[str], query: dict[str, list[str]], *, is_uri: bool
) -> HubLink | None:
    if words[:3] == ["api", "v1", "models"] and words[5:] == ["repo"]:
        revision, file = (query.get(key, [""])[0] for key in ("Revision", "FilePath"))
        return HubLink(host, "/".join(words[3:5]), revision, file)
    if words[:1] == ["models"]:
        words = words[1:]
    if words[2:4] == ["file", "view"]:
        words = [*words[:2], "resolve", *words[4:]]
    elif words[2:] in (["summary"], ["files"]):
        words = words[:2]
    return _of_repository(host, words, ("resolve", "tree"), is_uri=is_uri)


def _of_repository(
    host: str, words: list[str], verbs: tuple[str, ...], *, is_uri: bool
) -> HubLink | None:
    """Read ``owner/name[/verb/revision[/path]]``, or ``owner/name/path`` of an ``hf://``."""
    if len(words) < 2:
        return None
    repository = "/".join(words[:2])
    if len(words) == 2:
        return HubLink(host, repository)
    if words[2] in verbs and len(words) > 3:
        file = "/".join(words[4:])
        return HubLink(host, repository, words[3], "" if words[2] == "tree" else file)
    return HubLink(host, repository, file="/".join(words[2:])) if is_uri else None
