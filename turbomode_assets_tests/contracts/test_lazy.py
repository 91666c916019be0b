"""Names that packages load when they are asked for."""

import importlib
import re

import pytest

from turbomode_assets.contracts.lazy import lazy_names
from turbomode_assets_tests.builders import REPOSITORY

PACKAGE = REPOSITORY / "turbomode_assets"
LAZY = [
    path.parent.name
    for path in sorted(PACKAGE.glob("*/__init__.py"))
    if "lazy_names(" in path.read_text(encoding="utf-8")
]


def names_for_type_checkers(room):
    text = (PACKAGE / room / "__init__.py").read_text(encoding="utf-8")
    return re.findall(r"^    from ([\w.]+) import (\w+) as \2$", text, re.MULTILINE)


def test_a_name_is_that_of_its_module():
    load = lazy_names("turbomode_assets.contracts", {"errors": ("ContractError",)})
    assert load("ContractError").__module__ == "turbomode_assets.contracts.errors"


def test_a_name_that_is_not_listed_is_refused_like_any_other():
    load = lazy_names("turbomode_assets.contracts", {"errors": ("ContractError",)})
    with pytest.raises(AttributeError, match="has no attribute 'Nam'"):
        load("Nam")


@pytest.mark.parametrize("room", LAZY)
def test_what_type_checkers_read_is_what_a_lazy_package_gives(room):
    package = importlib.import_module(f"turbomode_assets.{room}")
    listed = names_for_type_checkers(room)
    assert listed
    for module, name in listed:
        assert package.__getattr__(name) is getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("room", LAZY)
def test_no_lazy_name_is_that_of_a_module_which_would_take_its_place(room):
    modules = {path.stem for path in (PACKAGE / room).iterdir()}
    assert not modules & {name for _, name in names_for_type_checkers(room)}
