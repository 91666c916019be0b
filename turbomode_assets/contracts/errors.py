"""The errors a user meets. Each says what is wrong, where, and what to do about it."""

import functools
from collections.abc import Callable, Iterable
from typing import Self


class TurbomodeError(Exception):
    """Base of every error raised on purpose: what is wrong, where, and the remedy."""

    def __init__(self, what: str, *, where: str, fix: str) -> None:
        super().__init__(f"{what}\n  where: {where}\n  fix:   {fix}")
        self.what = what
        self.where = where
        self.fix = fix

    def __reduce__(self) -> tuple[Callable[[], Self], tuple[()]]:
        """Pickle by keyword, so that an error survives the way out of a worker process."""
        return functools.partial(type(self), self.what, where=self.where, fix=self.fix), ()


class ContractError(TurbomodeError):
    """Rows break the contract of their table; nothing was committed."""


class ConfigurationError(TurbomodeError):
    """A configuration file or environment variable is absent, malformed or breaks a rule."""


class InputError(TurbomodeError):
    """A function was asked for something it cannot do."""


class MissingDataError(TurbomodeError):
    """Rows that a stage needs do not exist; running an earlier stage would make them."""


class StoreError(TurbomodeError):
    """A store cannot be opened, read or written."""


class ReadOnlyError(StoreError):
    """Something other than ingestion tried to write the master store."""


class VendorError(TurbomodeError):
    """A vendor failed to deliver; never the same as having no data."""


def first_few(items: Iterable[object], limit: int = 5) -> str:
    """List the first offenders and, when there are more, their total."""
    listed = [str(item) for item in items]
    head = ", ".join(listed[:limit])
    return head if len(listed) <= limit else f"{head}, ... ({len(listed)} in all)"
