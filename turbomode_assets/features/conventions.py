"""Numbers that hold for every feature. Changing one makes another feature set."""

EPSILON = 1e-12
"""Added to a denominator where, and only where, the formula shows `e`."""

TIE = 1e-6
"""Two prices of one symbol closer than this share of its close are equal."""

CONSTANT_BELOW = 2e-5
"""A series whose standard deviation is below this has no correlation, slope on it, or skewness."""

SESSIONS_PER_YEAR = 252

SECTOR_MEMBERS = 3
"""Fewest members with a value for a sector to have a mean."""

BENCHMARK_PAIRS = 55
"""Fewest of the 60 return pairs for a beta on the benchmark."""
