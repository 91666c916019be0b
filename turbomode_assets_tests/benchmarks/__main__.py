"""Every benchmark that needs nothing but this package, one after the other."""

from turbomode_assets_tests.benchmarks import feature_store, features, ingestion, market_data

if __name__ == "__main__":
    features.main()
    feature_store.main()
    market_data.main()
    ingestion.main()
