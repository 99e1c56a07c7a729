"""Lists of the Kubernetes API, read in pages (logic over one GET)."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from stack.hardware_profiles.cluster.target import ClusterError, ExpiredError
from stack.hardware_profiles.cluster.wire import RawList, decoder

T = TypeVar("T")
Get = Callable[[str, Sequence[tuple[str, str]]], bytes]
PAGE = 500
"""Objects a page, as kubectl asks for."""
MAX_PAGES = 100_000


def read_list(get: Get, path: str, read: Callable[[msgspec.Raw], T], query: Sequence[tuple[str, str]] = ()) -> list[T]:
    """`read` of every object of the list at `path`, each once.

    A continue token lives for some minutes. Where it has expired, what was read belongs to a list that is gone: it is dropped and the list
    is asked for anew, in one answer, which cannot expire.
    """
    try:
        return list(_pages(get, path, read, query, limit=PAGE))
    except ExpiredError:
        try:
            return list(_pages(get, path, read, query, limit=None))
        except ExpiredError as error:
            raise ClusterError(f"GET {path}: expired again when asked for whole ({error}): ask again") from None


def _pages(get: Get, path: str, read: Callable[[msgspec.Raw], T], query: Sequence[tuple[str, str]], *, limit: int | None) -> Iterator[T]:
    parse, token, seen = decoder(RawList), "", set[str]()
    for _ in range(MAX_PAGES):
        paging = [("limit", str(limit))] if limit else []
        paging += [("continue", token)] if token else []
        try:
            page = parse(get(path, [*query, *paging]))
        except ValueError as error:
            raise ClusterError(f"GET {path}: the answer is no list of the Kubernetes API ({error}): does --context name a Kubernetes API server?") from None
        yield from map(read, page.items or [])
        token = page.metadata.continue_ or ""
        if not token:
            return
        if token in seen:
            break
        seen.add(token)
    raise ClusterError(f"GET {path}: the list has no end (its continue token came twice): the API server, or a proxy before it, is at fault")
