"""Torture: real commands against real brokers, disturbed at chosen and at random moments; then everything is counted by content.

`python -m tests.torture --broker nats --trials 20 --seed 7`; what it found in long runs stands in docs/reliability.md.
"""
