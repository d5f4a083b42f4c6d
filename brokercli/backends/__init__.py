"""The brokers: one folder each with the same file names, behind `contract.py`, found by name through `registry.py`."""
