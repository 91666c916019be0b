"""What rooms agree on: column names, table contracts, errors. No computation beyond checking."""
