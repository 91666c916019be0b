"""Where stores may lie: paths that every library below them reads alike."""

import re
import unicodedata
from pathlib import Path

from turbomode_assets.contracts.errors import ConfigurationError, first_few

PUNCTUATION = "!$&'()+,-./:;@_~"
_UNUSABLE = re.compile(f"[^A-Za-z0-9{re.escape(PUNCTUATION)}]")


def require_usable_path(path: str | Path, *, where: str) -> None:
    """Refuse a path with a character that one of the libraries takes for something else.

    Delta tables are addressed by URLs. In these a space, `%`, `#` and every letter beyond ASCII
    are escaped, and polars does not find what an escaped path names; it takes `*` and `?` for
    patterns and `=` for a partition. deltalake follows symbolic links, so what counts is where
    they lead to.

    Raises:
        ConfigurationError: the path holds such a character.
    """
    real = str(Path(path).resolve())
    if unusable := sorted(set(_UNUSABLE.findall(real))):
        named = (f"{each!r} ({unicodedata.name(each, 'unnamed').lower()})" for each in unusable)
        raise ConfigurationError(
            f"tables cannot be kept below {real!r}: its path holds {first_few(named)}",
            where=where,
            fix="choose a path of ASCII letters, digits and "
            f"{PUNCTUATION} alone; a symbolic link to this one does not help",
        )
