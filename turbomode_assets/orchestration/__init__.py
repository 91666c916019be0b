"""Everything Dagster: partitions, assets, automation, resources, definitions."""
