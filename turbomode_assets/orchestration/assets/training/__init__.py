"""The thirteen steps that the asset `ensemble` is made of."""
