"""Sharing intermediates: within a chunk, an operation on the same tensors is computed once."""

import contextvars
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")

_results: contextvars.ContextVar[dict[tuple[object, ...], object] | None] = contextvars.ContextVar(
    "shared results", default=None
)


@contextmanager
def shared_results() -> Iterator[None]:
    """Within this block, in this thread, operations marked `@shared` remember their results."""
    token = _results.set({})
    try:
        yield
    finally:
        _results.reset(token)


def shared(operation: Callable[P, R]) -> Callable[P, R]:
    """Compute an operation once for the same tensors (the same objects) and parameters.

    A tensor's hash is its identity, and a key keeps its tensors alive: no other can take it over.
    """

    @functools.wraps(operation)
    def remembering(*args: P.args, **kwargs: P.kwargs) -> R:
        results = _results.get()
        if results is None or kwargs:
            return operation(*args, **kwargs)
        key = (operation, *args)
        found = results.get(key)
        if found is None:
            found = results[key] = operation(*args, **kwargs)
        return cast(R, found)

    return remembering
