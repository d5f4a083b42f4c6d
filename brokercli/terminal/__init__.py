"""The only code that writes to standard output and standard error, and the only code that knows screens."""
