"""Ranks across symbols: by hand, and the CPU's way against the one that CUDA takes."""

import math

import pytest
import torch

from turbomode_assets.features.vocabulary.cross_section import (
    percentile_rank,
    percentile_rank_in_torch,
)

NAN = math.nan


def test_ranks_are_shares_of_the_members_with_a_value_and_ties_share_the_average():
    values = torch.tensor([[3.0], [1.0], [3.0], [NAN], [9.0], [2.0]], dtype=torch.float64)
    members = torch.tensor([[True], [True], [True], [True], [False], [True]])
    expected = torch.tensor([[3.5], [1.0], [3.5], [NAN], [NAN], [2.0]], dtype=torch.float64) / 4
    torch.testing.assert_close(percentile_rank(values, members), expected, equal_nan=True)


@pytest.mark.parametrize("step", [1e-12, 0.01, 10.0])
def test_the_cpu_ranks_as_torch_does(step):
    generator = torch.Generator().manual_seed(5)
    values = torch.randn((40, 30), generator=generator, dtype=torch.float64)
    values = (values / step).round() * step
    values[3, 4] = values[5] = NAN
    members = torch.rand((40, 30), generator=generator) > 0.1
    members[:, 7] = False
    counted = (members & values.isfinite()).T
    expected = percentile_rank_in_torch(values.T.masked_fill(~counted, math.inf), counted).T
    actual = percentile_rank(values, members)
    assert torch.equal(actual.nan_to_num(-1.0), expected.nan_to_num(-1.0))
