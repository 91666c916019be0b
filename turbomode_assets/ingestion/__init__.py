"""Getting market data in: fetching, the audit, the backfill queue, and following another tenant."""
