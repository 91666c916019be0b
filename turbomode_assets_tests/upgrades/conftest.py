"""The installations of earlier versions, unpacked: one to look at, copies of it to go on with."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from turbomode_assets.cli import main
from turbomode_assets_tests.upgrades.installations import Installation, unpack

ARCHIVES = sorted(Path(__file__).parent.glob("*.tar.xz"))

Typed = Callable[..., str]


@pytest.fixture(scope="session", params=ARCHIVES, ids=lambda path: path.name.partition(".")[0])
def _unpacked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked") / "installation"
    unpack(request.param, folder)
    return folder


@pytest.fixture(scope="session")
def _shown(_unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("shown") / "installation"
    shutil.copytree(_unpacked, folder)
    return Installation(folder)


@pytest.fixture
def shown(_shown: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An old installation, for tests that only look at it; this process is in its environment."""
    return enter(_shown, monkeypatch)


@pytest.fixture
def installation(_unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """The same, yours to go on with."""
    shutil.copytree(_unpacked, tmp_path / "installation")
    return enter(Installation(tmp_path / "installation"), monkeypatch)


def enter(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """Take over the environment and the folder of an installation."""
    for name, value in installation.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(installation.folder)
    return installation


@pytest.fixture
def typed() -> Typed:
    """Type a `turbomode` command in the present environment; it must end with a code, if given."""

    def type_command(*words: str, code: int | None = 0, answer: str | None = None) -> str:
        result = CliRunner().invoke(main, list(words), input=answer)
        assert code is None or result.exit_code == code, result.output
        return result.output

    return type_command
