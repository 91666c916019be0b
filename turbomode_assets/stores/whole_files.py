"""Writing small files so that a reader finds the old content or the new, and never a part."""

import uuid
from pathlib import Path


def replace_file(path: Path, content: str) -> None:
    """Put content in the place of a file's, as a whole; what fails leaves the old one."""
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        unfinished.write_text(content, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
