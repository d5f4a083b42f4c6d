"""Run one command line; the only place that ends the process."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run `sys.argv`, then end at once: what interpreter teardown would do with open clients costs more than a small read."""
    try:
        if sys.argv[1:] in (["--version"], ["-V"]):
            from brokercli import __version__

            try:
                os.write(1, f"brokercli {__version__}\n".encode())
                code = 0
            except BrokenPipeError:
                code = 141
            except OSError:
                code = 10
        else:
            from brokercli.commands.app import run

            code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            # closed when we were started: nothing waits in it, and who had to write to it has said that it could not
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            # closed since, or full; what was printed through terminal/ is not in these buffers
            code = code or 10
    os._exit(code)


if __name__ == "__main__":
    main()
