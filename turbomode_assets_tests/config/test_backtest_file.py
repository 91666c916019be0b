"""What the configuration of the backtest refuses."""

import pytest

from turbomode_assets.config.loader import BACKTEST_FILE, load_backtest_file
from turbomode_assets.contracts.errors import ConfigurationError
from turbomode_assets_tests.config.builders import CONFIGS, changed


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("sessions", 1, "sessions: Input should be greater than or equal to 2, got 1"),
        ("sessions", "all", "sessions: Input should be a valid integer, got 'all'"),
        ("overfitting_blocks", 7, "overfitting_blocks: Input should be a multiple of 2, got 7"),
        ("version", "1.0.9", "version 1.0.9 has no changelog entry"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(tmp_path, key, value, said):
    folder = changed(tmp_path, BACKTEST_FILE, lambda content: content.update({key: value}))
    with pytest.raises(ConfigurationError) as caught:
        load_backtest_file(folder)
    assert said in caught.value.what


def test_a_limit_of_one_symbol_above_that_of_all_is_refused(tmp_path):
    folder = changed(
        tmp_path, BACKTEST_FILE, lambda content: content["trading"].update(position_limit=1.5)
    )
    with pytest.raises(ConfigurationError, match="position_limit"):
        load_backtest_file(folder)


def test_as_shipped_twenty_positions_of_a_twentieth_need_no_borrowing():
    trading = load_backtest_file(CONFIGS).trading
    share = trading.maximum_gross_exposure / trading.maximum_positions
    assert (share, trading.maximum_gross_exposure) == (0.05, 1.0)
    assert share <= trading.position_limit
    assert trading.cost_bps > 0
    assert trading.slippage_bps > trading.cost_bps
