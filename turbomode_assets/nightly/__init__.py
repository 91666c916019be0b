"""The nightly page: what stands on it, and where it is kept."""
