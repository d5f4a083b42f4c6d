"""Faults on the way to a broker, made on purpose."""
