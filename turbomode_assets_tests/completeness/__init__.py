"""Tests of turbomode_assets.completeness."""
