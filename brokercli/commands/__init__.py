"""The command line: one file per command; parse, call, print. The only code that knows typer."""
