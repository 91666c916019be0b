"""From form to form: which keys a file had to have, and what keeps the behaviour of older ones.

A file's `form` is the number of the form that it is written in; without one it is 1. It says
nothing of the file's content, which has a `version` of its own. A form's step lists what changed
since the form before: a key that came gets the value that keeps the behaviour of files from before
it, one that went is dropped. Every change can be taken back, for digests. Defaults for new files
stand in the files that are shipped.
"""

import copy
import json
import re
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
Keys = tuple[str, ...]


@dataclass(frozen=True)
class AddKey:
    """A key that came, and the value that keeps the behaviour of files without it."""

    path: str
    value: Any

    @property
    def keys(self) -> Keys:
        """Where the key lies after the change."""
        return tuple(self.path.split("."))

    def apply(self, content: Content) -> None:
        """Add the key where the file does not have it."""
        parent, key = _place(content, self.keys)
        if parent is not None:
            parent.setdefault(key, copy.deepcopy(self.value))

    def undo(self, content: Content, keys: Keys) -> None:
        """Remove the key while it has the value that changes nothing."""
        parent, key = _place(content, keys)
        if parent is not None and key in parent and parent[key] == self.value:
            del parent[key]


@dataclass(frozen=True)
class DropKey:
    """A key that went, and the value that it had in the files that were shipped.

    Files that left it at that value keep their digests; one with another value of a rule that is no
    more has other content now.
    """

    path: str
    value: Any

    @property
    def keys(self) -> Keys:
        """Where the key lay before the change."""
        return tuple(self.path.split("."))

    def apply(self, content: Content) -> None:
        """Drop the key if the file has it."""
        parent, key = _place(content, self.keys)
        if parent is not None:
            parent.pop(key, None)

    def undo(self, content: Content, keys: Keys) -> None:
        """Put the key back with its shipped value."""
        parent, key = _place(content, keys)
        if parent is not None:
            parent[key] = copy.deepcopy(self.value)


@dataclass(frozen=True)
class RenameKey:
    """A key of a section that has another name now."""

    path: str
    name: str

    @property
    def keys(self) -> Keys:
        """Where the key lies after the change."""
        return (*self.keys_before[:-1], self.name)

    @property
    def keys_before(self) -> Keys:
        """Where the key lay before the change."""
        return tuple(self.path.split("."))

    def apply(self, content: Content) -> None:
        """Rename the key in its place."""
        _rename(content, self.keys_before, self.name)

    def undo(self, content: Content, keys: Keys) -> None:
        """Give the key its earlier name."""
        _rename(content, keys, self.keys_before[-1])


@dataclass(frozen=True)
class ChangeSection:
    """A change of one section that the others cannot say, and how it is taken back."""

    path: str
    forth: Callable[[Content], None]
    back: Callable[[Content], None]

    @property
    def keys(self) -> Keys:
        """Where the section lies."""
        return tuple(self.path.split("."))

    def apply(self, content: Content) -> None:
        """Change the section if the file has it."""
        self._change(content, self.keys, self.forth)

    def undo(self, content: Content, keys: Keys) -> None:
        """Take the change of the section back."""
        self._change(content, keys, self.back)

    def _change(self, content: Content, keys: Keys, function: Callable[[Content], None]) -> None:
        section, _ = _place(content, (*keys, ""))
        if section is not None:
            function(section)


Change = AddKey | DropKey | RenameKey | ChangeSection
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

    Keys keep their order, and lists of one line stay on it; `form` stands at the top.
    """
    content = json.loads(text)
    if content.get(FORM, 1) == present_form(file):
        return text
    changed = upgraded(file, content, where=where)
    head = {key: changed.pop(key) for key in ("$schema",) if key in changed}
    written = json.dumps(head | {FORM: present_form(file)} | changed, indent=2, ensure_ascii=False)
    return _as_lists_were_written(written, text) + "\n"


def in_first_form(file: str, section: Mapping[str, Any], place: Keys = ()) -> Content:
    """Take every change back from a section of the present form that lies at a place of the file.

    Digests are over this: a form that came changes none of a file that nobody edited.
    """
    content = copy.deepcopy(dict(section))
    for change in reversed([change for step in STEPS[file] for change in step]):
        keys, depth = change.keys, len(place)
        is_section_itself = isinstance(change, ChangeSection) and keys == place
        if keys[:depth] == place and (len(keys) > depth or is_section_itself):
            change.undo(content, keys[depth:])
        elif isinstance(change, RenameKey) and place[: len(keys)] == keys:
            place = change.keys_before + place[len(keys) :]
    return content


def _place(content: Content, keys: Keys) -> tuple[Content | None, str]:
    """The section that keys lead to, and the last key; no section where the file has none."""
    *sections, key = keys
    parent: Any = content
    for section in sections:
        parent = parent.get(section) if isinstance(parent, dict) else None
    return (parent if isinstance(parent, dict) else None), key


def _rename(content: Content, keys: Keys, name: str) -> None:
    parent, key = _place(content, keys)
    if parent is not None and key in parent:
        renamed = {name if each == key else each: of for each, of in parent.items()}
        parent.clear()
        parent.update(renamed)


def _as_lists_were_written(written: str, before: str) -> str:
    """Join the lines of every list of plain values that the text before has on one line."""

    def joined(found: re.Match[str]) -> str:
        line = json.dumps(json.loads(found[0]), ensure_ascii=False)
        return line if line in before else found[0]

    # A string holds no line break in JSON: only a list opens at the end of a line with `[`.
    return re.sub(r"\[\n[^\[\]{}]*\n *\]", joined, written)
