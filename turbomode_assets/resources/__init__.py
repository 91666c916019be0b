"""Old class paths that a user's `dagster.yaml` may name; everything here lives elsewhere."""
