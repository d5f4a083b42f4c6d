"""Run one command line; the only place that ends the process."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run `sys.argv`, then end at once: what interpreter teardown would do with open clients costs more than a small read."""
    _begin_in_utf8()
    # what is imported is no garbage: looking for some after each 700 objects takes 4 of the 90 ms of a start
    gc.set_threshold(50_000)
    try:
        if sys.argv[1:] in (["--version"], ["-V"]) and _say_version():
            code = 0
        else:
            # one TAB does its work on another thread, where no signal comes
            if sys.argv[1:2] != ["__complete"]:
                _import_orjson()
            from brokercli.commands.run import run

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


def _begin_in_utf8() -> None:
    """Begin again in Python's UTF-8 mode where the locale has another encoding (LANG=en_US is ISO-8859-1). By that one Python reads the command
    line: the octets of a body would be stored as others, or a name be refused, while the same from a file goes as it is. terminal/ still talks to
    the terminal in what it is said to understand."""
    own = sys.orig_argv[len(sys.orig_argv) - len(sys.argv) + 1:] == sys.argv[1:]  # not another program's that calls main()
    if sys.flags.utf8_mode or sys.getfilesystemencoding() == "utf-8" or not sys.executable or not own:
        return
    encoding = sys.stderr.encoding if sys.stderr is not None else sys.getfilesystemencoding()
    try:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", "-X", f"terminal_encoding={encoding}", *sys.orig_argv[1:]])
    except OSError:
        pass  # as well as it goes


def _say_version() -> bool:
    """Print the version without loading anything for it; return whether that went well. Where it did not, the command says why."""
    from brokercli import __version__

    try:
        os.write(1, f"brokercli {__version__}\n".encode())
    except OSError:
        return False
    return True


def _import_orjson() -> None:
    """Import it with Ctrl-C held back. Its initialisation (3.13.0) takes it that whatever it imports itself is there: a KeyboardInterrupt in
    the midst, and the process ended with SIGSEGV. Once it is imported, importing it again runs nothing."""
    import signal

    if not hasattr(signal, "pthread_sigmask"):
        return  # Windows
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        import orjson  # noqa: F401
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


if __name__ == "__main__":
    main()
