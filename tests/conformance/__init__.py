"""What every broker behind the contract promises: one suite for all brokers and all rows of their support tables.

Each test runs for every row that declares what it `needs`; `test_refusals.py` runs the other half of the table, so that a
capability is either shown to work or shown to be refused, with the table's reason.
"""
