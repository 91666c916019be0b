"""Every benchmark that needs nothing but this package, one after the other."""

from turbomode_assets_tests.benchmarks import feature_store, features

if __name__ == "__main__":
    features.main()
    feature_store.main()
