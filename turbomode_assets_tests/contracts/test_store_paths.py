"""Which paths are refused; and that below every other a real table is read as it was written."""

import datetime as dt

import pytest

from turbomode_assets.contracts.errors import ConfigurationError
from turbomode_assets.contracts.store_paths import PUNCTUATION, require_usable_path
from turbomode_assets.contracts.tables import BARS
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.delta import Scope, open_table, replace_rows, scan_table
from turbomode_assets_tests.builders import make_bars

SPAN = SessionSpan(dt.date(2017, 11, 10), dt.date(2017, 11, 13))


def test_below_a_path_of_every_usable_sign_a_table_is_read_as_it_was_written(tmp_path):
    uri = str(tmp_path / f"aZ9{PUNCTUATION.replace('/', '')}" / "bars")
    bars = make_bars(["AAA"], SPAN)
    replace_rows(uri, bars, BARS, owner="lake/a", scope=Scope(SPAN), caller="test")
    assert scan_table(open_table(uri, BARS, "lake/a"), BARS, Scope()).collect().equals(bars)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my data", "' ' (space)"),
        ("100%", "'%' (percent sign)"),
        ("%41", "'%' (percent sign)"),
        ("a#1", "'#' (number sign)"),
        ("año", "'ñ' (latin small letter n with tilde)"),
        ("tenant=a", "'=' (equals sign)"),
        ("a\tb", "'\\t' (unnamed)"),
        ("x [1]", "' ' (space), '[' (left square bracket), ']' (right square bracket)"),
    ],
)
def test_a_path_that_a_library_would_misread_is_refused_by_the_sign_in_it(tmp_path, name, said):
    with pytest.raises(ConfigurationError) as refused:
        require_usable_path(tmp_path / name, where="here")
    assert refused.value.what.endswith(f"its path holds {said}")
    assert "ASCII letters" in refused.value.fix


def test_a_link_is_judged_by_where_it_leads_to(tmp_path):
    (tmp_path / "my data").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "my data")
    with pytest.raises(ConfigurationError, match="space"):
        require_usable_path(tmp_path / "data", where="here")


def test_a_reader_refuses_such_a_path_too(tmp_path):
    with pytest.raises(ConfigurationError, match="space"):
        open_table(str(tmp_path / "my data" / "bars"), BARS, "lake/a")
