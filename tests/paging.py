"""All pages of something, one after another."""

from collections.abc import Awaitable, Callable
from typing import Any

from repo import Page

Ask = Callable[..., Awaitable[Page[Any]]]


async def all_of(ask: Ask, key: Callable[[Any], Any] = lambda item: item) -> list[Any]:
    """What all pages have, forwards; backwards they must have the same, or what has the same key."""
    pages = [await ask()]
    while pages[-1].next is not None:
        pages.append(await ask(after=pages[-1].next))
    back = [pages[-1]]
    while back[0].previous is not None:
        back.insert(0, await ask(before=back[0].previous))
    found = [item for page in pages for item in page.items]
    assert [key(item) for page in back for item in page.items] == list(map(key, found))
    return found
