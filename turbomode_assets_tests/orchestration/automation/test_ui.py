"""The Dagster UI as people see it: a real web server, a real headless browser."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import dagster as dg
import pytest

from turbomode_assets.sessions import SessionSpan
from turbomode_assets_tests.builders import REPOSITORY, run_assets
from turbomode_assets_tests.market import AS_OF, DERIVED, INGESTION, NIGHT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
BROWSER_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1700,950",
    "--virtual-time-budget=20000",
)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url, server):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert server.poll() is None, "the web server ended"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    pytest.fail(f"no answer at {url}")


@pytest.fixture
def web_address(market, tmp_path, monkeypatch):
    """A web server over a market of which every asset was materialized for one night."""
    home = tmp_path / "dagster"
    home.mkdir()
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    for name, value in (
        ("DAGSTER_HOME", home),
        ("TURBOMODE_DAGSTER_STORAGE", home),
        ("TURBOMODE_DATA_ROOT", market.root),
        ("TURBOMODE_CONFIG_DIR", market.configs),
    ):
        monkeypatch.setenv(name, str(value))
    with dg.DagsterInstance.get() as instance:
        run_assets(market, ["ensemble"], SessionSpan(AS_OF, AS_OF), instance=instance)
        night = [*INGESTION, *DERIVED, "drift_metrics", "signals", "outcomes"]
        run_assets(market, night, SessionSpan(NIGHT, NIGHT), instance=instance)
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "dagster_webserver", "-m", "turbomode_assets", "-p", str(port)],
        # Dagster lets a .env of the folder it is started in overrule the environment.
        cwd=home,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/server_info", server)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def rendered(url, profile):
    assert CHROMIUM is not None, "install chromium: these tests look at real pages"
    shown = subprocess.run(
        [CHROMIUM, *BROWSER_FLAGS, f"--user-data-dir={profile}", "--dump-dom", url],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return shown.stdout


@pytest.mark.browser
def test_the_lineage_shows_every_stage_and_its_materialization(web_address, tmp_path):
    page = rendered(
        f"{web_address}/assets/ensemble?view=lineage&lineageScope=neighbors&lineageDepth=5",
        tmp_path / "profile-1",
    )
    for stage in ("raw_candles", "bars", "features", "labels", "ensemble", "signals"):
        assert stage in page, stage


@pytest.mark.browser
def test_the_page_of_an_asset_shows_its_columns_and_that_it_is_simulated(web_address, tmp_path):
    page = rendered(f"{web_address}/assets/bars", tmp_path / "profile-2")
    for text in ("dollar_volume", "adjusted_as_of", "simulated", "curation"):
        assert text in page, text
