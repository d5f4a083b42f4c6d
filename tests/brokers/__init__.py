"""Real brokers for the tests: downloading them, and starting, killing, freezing and stopping one. Standard library only.

`python3 -m tests.brokers kafka start DIR` does by hand what the fixtures do.
"""
