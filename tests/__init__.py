"""The tests. A package, so that a test imports `tests.brokers` and `tests.native` by name."""
