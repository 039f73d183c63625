"""Every link inside the documentation leads somewhere: files, and headings in them."""

from __future__ import annotations

import re

import pytest

from tests.docs.snippets import ROOT, pages

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors that code hosts make of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", pages(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_link_leads_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for target in _LINK.findall(_BLOCK.sub("", text)):
        if re.match(r"[a-z]+:", target):
            assert target.startswith("https://"), target
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{path.name}: {target}"
        if anchor:
            assert anchor in anchors(there.read_text(encoding="utf-8")), f"{path.name}: {target}"


def test_the_anchors_of_headings_are_those_that_hosts_make():
    text = "# One, two\n```sh\n# no heading\n```\n## `corral run`\n"
    assert anchors(text) == {"one-two", "corral-run"}


def test_every_page_of_the_docs_can_be_reached_from_the_readme():
    seen, waiting = set(), [ROOT / "README.md", ROOT / "README.zh-CN.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        links = _LINK.findall(_BLOCK.sub("", page.read_text(encoding="utf-8")))
        waiting += [
            (page.parent / link.partition("#")[0]).resolve()
            for link in links
            if not link.startswith(("https:", "#"))
        ]
    lost = [
        p.relative_to(ROOT).as_posix()
        for p in pages()
        if p.resolve() not in {s.resolve() for s in seen} and p.is_relative_to(ROOT / "docs")
    ]
    assert lost == []
