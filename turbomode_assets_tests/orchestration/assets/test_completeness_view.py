"""The completeness view: four pictures, in the UI and as files."""

import base64
import re

from turbomode_assets.sessions import SessionSpan
from turbomode_assets_tests.builders import run_assets
from turbomode_assets_tests.market import AS_OF, HISTORY

PICTURES = ("coverage", "coverage_by_month", "reasons", "age")
PNG = b"\x89PNG"


def test_the_view_shows_four_pictures_and_keeps_them_as_files(market):
    result = run_assets(market, ["completeness"], SessionSpan(AS_OF, AS_OF))
    (materialization,) = result.asset_materializations_for_node("completeness")
    told = materialization.metadata
    assert told["sessions"].value == str(HISTORY)
    for name in PICTURES:
        shown = re.search(r"base64,([^)]*)\)", told[name].value)
        content = base64.b64decode(shown.group(1))
        assert content.startswith(PNG)
        stored = market.artifacts_root / "reports" / "completeness" / f"{name}.png"
        assert stored.read_bytes() == content
    assert "SIM001" in told["oldest"].value
