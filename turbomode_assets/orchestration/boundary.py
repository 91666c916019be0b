"""Where refusals of the rooms become failures of Dagster steps."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from turbomode_assets.contracts.errors import TurbomodeError


@contextmanager
def _refusals_as_failures() -> Iterator[None]:
    try:
        yield
    except TurbomodeError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def explained(body: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a refusal into a failure without retries: the same input would be refused again."""
    if inspect.isgeneratorfunction(body):

        @functools.wraps(body)
        def generate(*arguments: Any, **keywords: Any) -> Iterator[Any]:
            with _refusals_as_failures():
                yield from body(*arguments, **keywords)

        return generate

    @functools.wraps(body)
    def run(*arguments: Any, **keywords: Any) -> Any:
        with _refusals_as_failures():
            return body(*arguments, **keywords)

    return run
