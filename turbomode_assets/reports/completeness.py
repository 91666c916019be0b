"""A picture of the ledger: every session of every symbol in the colour of its verdict."""

import datetime as dt
from collections.abc import Sequence

import numpy as np
import polars as pl

from turbomode_assets.completeness import ledger_grid, vendors_of, verdict_counts
from turbomode_assets.contracts.tables.master import VERDICTS
from turbomode_assets.reports.canvas import (
    LEDGER_COLOURS,
    NOT_EXPECTED,
    empty_picture,
    span_text,
)
from turbomode_assets.reports.pixels import FEW_COLOURS, Codes, paint
from turbomode_assets.reports.sheet import Sheet
from turbomode_assets.reports.wording import counted, share_text, vendor_mark

MAP_WIDTH, LEAST_HEIGHT, MOST_HEIGHT = 1_000, 96, 640
PIXELS_PER_ROW = 14
"""Height of a symbol's row while all fit."""
LEFT, RIGHT, TOP, BOTTOM = 72, 30, 52, 66
STRIP, GAP = 8, 3
NAMED_SYMBOLS, NAMED_AMONG_MANY = MOST_HEIGHT // 8, 20
YEARLY, QUARTERLY, MONTHLY, DAILY = 756, 300, 70, 12
"""Above so many sessions ticks are years, quarters, months, else weeks; up to DAILY, sessions."""
MOST_YEARS = 25


def coverage_heatmap(ledger: pl.DataFrame, *, timeframe: str = "1d") -> bytes:
    """Session x symbol in the colours of the ledger's verdicts; vendors from `delivered_by`.

    Where several cells share a pixel, it shows the worst, darker the more of its cells are as bad;
    a RED pixel with hardly any RED around it is drawn 3 x 3. The strips below and beside do the
    same for all symbols of a session and all sessions of a symbol. A cell without a row is not
    expected. A ledger without rows of `timeframe` gives a picture that says so.
    """
    rows = ledger.filter(pl.col("timeframe") == timeframe)
    mark = vendor_mark(rows, vendors_of(rows))
    if rows.is_empty():
        return empty_picture(f"completeness of {timeframe} candles", mark)
    codes, symbols, sessions = ledger_grid(rows)
    height = min(max(PIXELS_PER_ROW * len(symbols), LEAST_HEIGHT), MOST_HEIGHT)
    sheet = Sheet(
        f"{timeframe} candles: {_shares(rows)}",
        mark,
        width=LEFT + MAP_WIDTH + RIGHT,
        height=TOP + height + BOTTOM,
    )
    below = TOP + height + GAP
    sheet.image(paint(codes, height, MAP_WIDTH), LEFT, TOP)
    sheet.image(np.repeat(paint(codes, 1, MAP_WIDTH), STRIP, axis=0), LEFT, below)
    sheet.image(np.repeat(paint(codes, height, 1), STRIP, axis=1), LEFT + MAP_WIDTH + GAP, TOP)
    rows_and_columns = {"rows": len(symbols), "columns": len(sessions)}
    names = sheet.axes(LEFT, TOP, MAP_WIDTH, height, **rows_and_columns)
    names.set_xticks([])
    names.set_yticks(*_symbol_ticks(symbols))
    names.tick_params(axis="y", labelsize=8 if len(symbols) <= MOST_HEIGHT // 12 else 6)
    times = sheet.axes(LEFT, TOP, MAP_WIDTH, height + GAP + STRIP, **rows_and_columns)
    times.set_yticks([])
    times.set_xticks(*session_ticks(sessions))
    sheet.write("all", LEFT - 6, below - 2, right=True)
    sheet.write("all", LEFT + MAP_WIDTH + GAP + 10, TOP - 13, right=True)
    sheet.legend(_legend(_binned(codes, height)), LEFT)
    sheet.write(
        _description(codes, sessions, _binned(codes, height)), LEFT, TOP + height + BOTTOM - 18
    )
    return sheet.png()


def session_ticks(sessions: Sequence[dt.date]) -> tuple[list[float], list[str]]:
    """Places (middle of a column) and names of the sessions that begin a year, month or week."""
    if len(sessions) <= DAILY:
        return [place + 0.5 for place in range(len(sessions))], [f"{s:%d %b}" for s in sessions]
    begins = [
        place
        for place in range(1, len(sessions))
        if _period(sessions[place], len(sessions)) != _period(sessions[place - 1], len(sessions))
    ]
    if len(sessions) > YEARLY:
        begins = begins[:: 1 + len(begins) // MOST_YEARS]
        return [b + 0.5 for b in begins], [str(sessions[b].year) for b in begins]
    if len(sessions) > MONTHLY:
        return [b + 0.5 for b in begins], [
            f"{sessions[b]:%b\n%Y}"
            if sessions[b].month == 1 or b == begins[0]
            else f"{sessions[b]:%b}"
            for b in begins
        ]
    return [b + 0.5 for b in begins], [f"{sessions[b]:%d %b}" for b in begins]


def _period(session: dt.date, sessions: int) -> tuple[int, int]:
    if sessions > YEARLY:
        return session.year, 0
    if sessions > QUARTERLY:
        return session.year, (session.month - 1) // 3
    return (session.year, session.month) if sessions > MONTHLY else session.isocalendar()[:2]


def _symbol_ticks(symbols: list[str]) -> tuple[list[float], list[str]]:
    every = 1 if len(symbols) <= NAMED_SYMBOLS else -(-len(symbols) // NAMED_AMONG_MANY)
    named = range(0, len(symbols), every)
    return [place + 0.5 for place in named], [symbols[place] for place in named]


def _shares(rows: pl.DataFrame) -> str:
    counts = verdict_counts(rows).sum()
    if not (total := counts["cells"].item()):
        return "none expected"
    return ", ".join(
        f"{share_text(counts[verdict].item(), total)} {verdict} ({counts[verdict].item():,})"
        for verdict in VERDICTS
    )


def _binned(codes: Codes, height: int) -> tuple[int, int]:
    """Return the most symbols and sessions that share a pixel."""
    return -(-codes.shape[0] // height), -(-codes.shape[1] // MAP_WIDTH)


def _legend(binned: tuple[int, int]) -> dict[str, str]:
    if binned == (1, 1):
        return {**LEDGER_COLOURS, "not expected": NOT_EXPECTED}
    shades = {
        f"{verdict}: {how_many} cells": colour
        for verdict in ("AMBER", "RED")
        for how_many, colour in (("few", FEW_COLOURS[verdict]), ("all", LEDGER_COLOURS[verdict]))
    }
    return {"GREEN": LEDGER_COLOURS["GREEN"], **shades, "not expected": NOT_EXPECTED}


def _description(codes: Codes, sessions: list[dt.date], binned: tuple[int, int]) -> str:
    size = f"{counted(len(codes), 'symbol')} x {counted(len(sessions), 'session')}"
    text = f"{size}, {span_text(sessions)}"
    if binned == (1, 1):
        return text
    shared = f"a pixel shows the worst of up to {binned[0]} x {binned[1]} cells"
    return f"{text}; {shared}; few lone RED ones are drawn larger"
