"""Rules of the model sections that span several keys."""

import pytest
from pydantic import ValidationError

from turbomode_assets.config.models import LightGbmGossConfig, TcnConfig
from turbomode_assets_tests.models.small import SMALL


def test_a_convolution_that_cannot_reach_its_sequence_is_refused():
    values = SMALL.tcn.model_dump() | {"blocks": 2, "kernel_sessions": 3, "sequence_sessions": 8}
    with pytest.raises(ValidationError, match="reach 7 sessions"):
        TcnConfig.model_validate(values)
    assert TcnConfig.model_validate(values | {"sequence_sessions": 7}).blocks == 2


def test_goss_rates_that_could_never_sample_are_refused():
    values = SMALL.lightgbm_goss.model_dump()
    with pytest.raises(ValidationError, match="must be below 1"):
        LightGbmGossConfig.model_validate(values | {"top_rate": 0.6, "other_rate": 0.4})
    with pytest.raises(ValidationError, match="must exceed 1"):
        LightGbmGossConfig.model_validate(values | {"rounds": 10, "learning_rate": 0.1})
