"""A model's name follows the code that decides its bytes, and no other."""

import shutil

import pytest

from turbomode_assets.ensemble.code import PACKAGE, digest_of_modules, environment, imported_modules

DECIDES = ("config", "contracts", "ensemble", "models", "sessions", "validation")
DOES_NOT = ("alerts", "cli", "nightly", "orchestration", "reports", "stores", "vendors")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    copied = tmp_path_factory.mktemp("code") / PACKAGE.name
    shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    return copied


def change_one_module(package, room):
    """Plant a change in a module of a room that training imports, or in any other."""
    imported = [path for path in imported_modules(package) if room in path.parts]
    path = (imported or sorted((package / room).rglob("*.py")))[-1]
    before = path.read_text(encoding="utf-8")
    path.write_text(before + "\nPLANTED = 1\n", encoding="utf-8")
    try:
        return digest_of_modules(package)
    finally:
        path.write_text(before, encoding="utf-8")


@pytest.mark.parametrize("room", DECIDES)
def test_a_change_in_what_training_imports_makes_other_models(package, room):
    assert change_one_module(package, room) != digest_of_modules(package)


@pytest.mark.parametrize("room", DOES_NOT)
def test_a_change_elsewhere_renames_no_model(package, room):
    assert change_one_module(package, room) == digest_of_modules(package)


def test_every_base_model_is_among_what_training_imports(package):
    names = {path.relative_to(package).as_posix() for path in imported_modules(package)}
    models = {f"models/{path.name}" for path in (package / "models").glob("*.py")}
    assert models <= names
    assert "ensemble/stacking.py" in names


def test_the_environment_names_libraries_code_and_device():
    made_with = environment("cpu")
    for name in ("numpy", "polars", "torch", "lightgbm", "scikit-learn", "python", "device"):
        assert made_with[name]
    assert len(made_with["code"]) == 64
