"""From form to form: which keys a file had to have, and what keeps the behaviour of older ones.

A file's `form` is the number of the form that it is written in; without one it is 1. It says
nothing of the file's content, which has a `version` of its own. A form's step lists what changed
since the form before: a key that came gets the value that keeps the behaviour of files from before
it, one that went is dropped. Defaults for new files stand in the files that are shipped.
"""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from turbomode_assets.config.file_names import (
    BACKTEST_FILE,
    DATA_QUALITY_FILE,
    SCHEDULER_FILE,
    TRAINING_FILE,
    VENDORS_FILE,
)
from turbomode_assets.contracts.errors import ConfigurationError

FORM = "form"
Content = dict[str, Any]


@dataclass(frozen=True)
class AddKey:
    """A key that came, and the value that keeps the behaviour of files without it."""

    path: str
    value: Any

    def apply(self, content: Content) -> None:
        """Add the key where the file does not have it."""
        parent, key = _place(content, self.path)
        if parent is not None:
            parent.setdefault(key, copy.deepcopy(self.value))


@dataclass(frozen=True)
class DropKey:
    """A key that went."""

    path: str

    def apply(self, content: Content) -> None:
        """Drop the key if the file has it."""
        parent, key = _place(content, self.path)
        if parent is not None:
            parent.pop(key, None)


@dataclass(frozen=True)
class RenameKey:
    """A key of a section that has another name now."""

    path: str
    name: str

    def apply(self, content: Content) -> None:
        """Rename the key in its place."""
        parent, key = _place(content, self.path)
        if parent is not None and key in parent:
            renamed = {self.name if each == key else each: of for each, of in parent.items()}
            parent.clear()
            parent.update(renamed)


@dataclass(frozen=True)
class ChangeContent:
    """A change that the others cannot say."""

    apply: Callable[[Content], None]


Change = AddKey | DropKey | RenameKey | ChangeContent
Step = Sequence[Change]

STEPS: Mapping[str, Sequence[Step]] = {
    TRAINING_FILE: (),
    SCHEDULER_FILE: (),
    VENDORS_FILE: (),
    DATA_QUALITY_FILE: (),
    BACKTEST_FILE: (),
}
"""Of each file, what changed from form 1 to form 2, from 2 to 3, and so on."""


def present_form(file: str) -> int:
    """Number of the form that this program writes and validates."""
    return 1 + len(STEPS[file])


def upgraded(file: str, content: Mapping[str, Any], *, where: str) -> Content:
    """Bring a file's content to the present form; its `form` is left out.

    Raises:
        ConfigurationError: the form is no number, or of a newer program.
    """
    changed = copy.deepcopy(dict(content))
    form = changed.pop(FORM, 1)
    if not isinstance(form, int) or isinstance(form, bool) or form < 1:
        raise ConfigurationError(
            f"form: {form!r} is no number of a form",
            where=where,
            fix=f"write {present_form(file)}, or leave the key out in a file of form 1",
        )
    if form > present_form(file):
        raise ConfigurationError(
            f"the file has form {form}; this program knows forms up to {present_form(file)}",
            where=where,
            fix="upgrade turbomode_assets, or restore the file as it was before its upgrade",
        )
    for step in STEPS[file][form - 1 :]:
        for change in step:
            change.apply(changed)
    return changed


def upgraded_text(file: str, text: str, *, where: str) -> str:
    """Write a file's text in the present form; the very text where it has that form already.

    Keys keep their order; `form` stands at the top.
    """
    content = json.loads(text)
    if content.get(FORM, 1) == present_form(file):
        return text
    changed = upgraded(file, content, where=where)
    head = {key: changed.pop(key) for key in ("$schema",) if key in changed}
    return json.dumps(head | {FORM: present_form(file)} | changed, indent=2) + "\n"


def kept_values(file: str) -> dict[str, Any]:
    """Values that keys got which older forms lack, by path: with them a file means what it did."""
    changes = [change for step in STEPS[file] for change in step]
    return {change.path: change.value for change in changes if isinstance(change, AddKey)}


def _place(content: Content, path: str) -> tuple[Content | None, str]:
    """The section that a path leads to, and its last key; no section where the file has none."""
    *sections, key = path.split(".")
    parent: Any = content
    for section in sections:
        parent = parent.get(section) if isinstance(parent, dict) else None
    return (parent if isinstance(parent, dict) else None), key
