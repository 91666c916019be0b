"""Configuration: one frozen section per room, read from the JSON files in `configs/`. No logic."""
