"""Measurements, printed as tables; nothing here passes or fails by a clock."""
