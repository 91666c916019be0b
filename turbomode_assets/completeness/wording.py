"""From rules that hold for a cell to its verdict and its reasons in words, without a row loop."""

from collections.abc import Mapping, Sequence

import polars as pl

from turbomode_assets.completeness.reasons import VERDICT_RANKS

Told = tuple[str, int]
"""Codes, comma-joined, and the rank of the worst verdict among them."""

SILENCE: Told = ("", 0)
_RULES = 2**32
"""Kinds of cells are numbered by one bit for each rule, and above them by what was told."""


def with_verdicts(
    cells: pl.DataFrame, rules: Mapping[tuple[str, str], pl.Expr], meanings: Sequence[Told]
) -> pl.DataFrame:
    """Add `reasons`, sorted and comma-joined, and `verdict`, the worst of them.

    `rules` say when a code holds, and the verdict that it gives; `told` is the number, among the
    `meanings`, of what is known of the cell already. Cells of which the same holds are of one kind,
    for which the words are made once.
    """
    held = pl.sum_horizontal(
        rule.fill_null(False).cast(pl.Int64) * 2**bit for bit, rule in enumerate(rules.values())
    )
    numbered = cells.with_columns(kind=held + pl.col("told") * _RULES)
    kinds = numbered["kind"].unique().to_list()
    words = {kind: _words(list(rules), kind % _RULES, meanings[kind // _RULES]) for kind in kinds}
    reasons = {kind: text for kind, (text, _) in words.items()}
    verdicts = {kind: verdict for kind, (_, verdict) in words.items()}
    return numbered.with_columns(
        reasons=pl.col("kind").replace_strict(reasons, return_dtype=pl.String),
        verdict=pl.col("kind").replace_strict(verdicts, return_dtype=pl.String),
    ).drop("kind")


def _words(names: Sequence[tuple[str, str]], held: int, told: Told) -> tuple[str, str]:
    """Reasons and verdict of one kind of cell."""
    holding = [name for bit, name in enumerate(names) if held >> bit & 1]
    text, rank = told
    found = {code for code, _ in holding} | set(text.split(",") if text else ())
    ranks = [rank, *(VERDICT_RANKS[verdict] for _, verdict in holding)]
    return ",".join(sorted(found)), list(VERDICT_RANKS)[max(ranks)]
