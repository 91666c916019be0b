"""The vocabulary of formulas: operations across the symbols of one session.

Tensors are [symbols, sessions]. `members` tells who counts; to everyone else the result is NaN.
"""

import math

import numpy as np
import torch
from torch import Tensor

from turbomode_assets.features.compiler import kernels
from turbomode_assets.features.vocabulary.operations import operation

RETURN_TIE = 1e-10
"""Values closer than this are tied: far above rounding, far below any real difference."""


@operation(version=1)
def percentile_rank(values: Tensor, members: Tensor) -> Tensor:
    """Rank / count in (0, 1] among the members with a finite value; ties share the average rank."""
    # [sessions, symbols]: sorting wants what it sorts side by side.
    values, members = values.T.contiguous(), members.T
    counted = members & values.isfinite()
    values = values.masked_fill(~counted, math.inf)
    if values.is_cpu:
        # On the CPU numpy and a loop take half the time of torch.
        found = np.full(values.shape, math.nan)
        kernels.rank_shares(values.numpy(), np.argsort(values.numpy(), axis=1), RETURN_TIE, found)
        return torch.from_numpy(found).T
    return percentile_rank_in_torch(values, counted).T


def percentile_rank_in_torch(values: Tensor, counted: Tensor) -> Tensor:
    """`percentile_rank` of [sessions, symbols], infinite where not counted, by torch alone."""
    ordered, order = values.sort(dim=1)
    count = values.shape[1]
    place = torch.arange(count, device=values.device).expand_as(order)
    rises = torch.ones_like(ordered, dtype=torch.bool)
    rises[:, 1:] = ordered[:, 1:] - ordered[:, :-1] > RETURN_TIE
    first = torch.where(rises, place, 0).cummax(dim=1).values
    ends = torch.ones_like(rises)
    ends[:, :-1] = rises[:, 1:]
    last = torch.where(ends, place, count).flip(1).cummin(dim=1).values.flip(1)
    average = (first + last + 2).to(values.dtype) / 2
    rank = torch.empty_like(values).scatter_(1, order, average)
    share = rank / counted.sum(dim=1, keepdim=True)
    return share.masked_fill_(~counted, math.nan)


@operation(version=1)
def sector_mean(values: Tensor, sector: Tensor, members: Tensor, fewest: int) -> Tensor:
    """Mean over the members with a finite value that share the symbol's sector on that session.

    NaN without a sector (code -1) or with fewer than `fewest` such members.
    """
    counted = members & values.isfinite() & (sector >= 0)
    code = sector.clamp(min=0)
    sectors = int(code.max()) + 1
    sums = values.new_zeros((sectors, values.shape[1]))
    counts = torch.zeros_like(sums)
    sums.scatter_add_(0, code, values.masked_fill(~counted, 0.0))
    counts.scatter_add_(0, code, counted.to(values.dtype))
    mean = (sums / counts.masked_fill(counts < fewest, math.nan)).gather(0, code)
    return mean.masked_fill_(~counted, math.nan)
