"""Every benchmark that needs nothing but this package, one after the other."""

from turbomode_assets_tests.benchmarks import (
    audit,
    feature_store,
    features,
    ingestion,
    ledger,
    market_data,
    night,
    pictures,
    starting,
)

if __name__ == "__main__":
    features.main()
    feature_store.main()
    market_data.main()
    ingestion.main()
    pictures.main()
    ledger.main()
    audit.main()
    night.main()
    starting.main()
