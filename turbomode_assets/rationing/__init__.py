"""Limits of vendors as arithmetic."""
