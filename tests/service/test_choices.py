"""Streams merged into one."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given, strategies as st

from runner.service.choices import merged


class Source:
    """A stream that remembers that it was closed; ``fails`` after its last item."""

    def __init__(self, items, *, fails: bool = False, hangs: bool = False) -> None:
        self.items, self.fails, self.hangs = items, fails, hangs
        self.is_closed = False

    async def stream(self):
        try:
            for item in self.items:
                await asyncio.sleep(0)
                yield item
            if self.hangs:
                await asyncio.Event().wait()
            if self.fails:
                raise ValueError("as told")
        finally:
            self.is_closed = True


@given(st.lists(st.lists(st.integers(), max_size=5), min_size=1, max_size=5))
def test_each_stream_comes_whole_and_in_order(lists):
    async def story():
        sources = [Source(items) for items in lists]
        found = [[] for _ in lists]
        async with aclosing(merged([source.stream() for source in sources])) as items:
            async for number, item in items:
                found[number].append(item)
        assert found == lists
        assert all(source.is_closed for source in sources)

    asyncio.run(story())


@pytest.mark.parametrize("n", [1, 3])
def test_an_error_of_one_closes_them_all(n):
    async def story():
        sources = [Source([1], hangs=True) for _ in range(n - 1)] + [Source([1], fails=True)]
        with pytest.raises(ValueError, match="as told"):
            async with aclosing(merged([source.stream() for source in sources])) as items:
                async for _ in items:
                    pass
        assert all(source.is_closed for source in sources)

    asyncio.run(story())


@pytest.mark.parametrize("n", [1, 3])
def test_leaving_closes_them_all(n):
    async def story():
        sources = [Source([1, 2], hangs=True) for _ in range(n)]
        items = merged([source.stream() for source in sources])
        await anext(items)
        await items.aclose()
        assert sources[0].is_closed
        assert all(source.is_closed for source in sources)

    asyncio.run(story())
