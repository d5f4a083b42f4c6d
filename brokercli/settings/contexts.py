"""The contexts there are: from the project's file, the user's file, and the built-in `local`."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from brokercli.model.errors import UsageProblem
from brokercli.settings.file import ConfigurationFile, read_configuration
from brokercli.settings.places import project_file, user_file, whole_path
from brokercli.settings.schema import Setting
from brokercli.settings.secrets import REFERENCES

LOCAL = "local"
SECRETS = ("password", "token", "tls.key_password")
_READS_FILES = ("credentials", "tls.key", "tls.certificate")


class Context(NamedTuple):
    """One named set of settings, as written; secrets are not fetched yet."""

    name: str
    settings: Mapping[str, Setting] = MappingProxyType({})
    """Nested keys joined by a dot: `tls.ca`."""
    file: ConfigurationFile | None = None
    """None: built in."""

    def where(self, key: str) -> str:
        """Name a setting in an error or a listing: file, line and key."""
        return f"{self.origin(key)}: {key} of context {self.name}"

    def origin(self, key: str) -> str:
        """Return `FILE:LINE` of a setting."""
        from brokercli.settings.file import line_of

        if self.file is None:
            return "built in" if self.name == LOCAL else "the command line"
        path = ("contexts", self.name, *key.split(".", 1))
        return f"{self.file.path}:{line_of(self.file.text, path)}"


class Contexts(NamedTuple):
    """All that can be chosen by name, and what is chosen where nothing is said."""

    user: ConfigurationFile | None
    project: ConfigurationFile | None
    project_is_trusted: bool

    def names(self) -> list[str]:
        """Return every name, sorted."""
        return sorted({LOCAL, *(self.user.document.contexts if self.user else ()), *(self.project.document.contexts if self.project else ())})

    def find(self, name: str) -> Context:
        """Return a context; the project's hides the user's of the same name, as a whole: no setting of one, a password
        least of all, ever joins the other. Raises UsageProblem for an unknown name, and for a project's file that asks
        for what only a trusted one may."""
        if name == LOCAL:
            return Context(LOCAL)
        for file in (self.project, self.user):
            if file is not None and name in file.document.contexts:
                context = Context(name, file.document.contexts[name], file)
                if file is self.project and not self.project_is_trusted:
                    _refuse_untrusted(context, "a project's file, which anybody may have written",
                                      f"move the context into {user_file() or 'your own configuration'}, or write there: trusted = [\"{file.path.parent}\"]")
                if file.mode & stat.S_IWOTH and os.name != "nt":
                    _refuse_untrusted(context, "a file that everybody may write to", f"chmod 600 {file.path}")
                return context
        if "://" in name:
            # there may be a password in it
            raise UsageProblem("A context has a name, and this is a URL.", hint="--context and BROKERCLI_URL take a URL")
        from difflib import get_close_matches

        close = get_close_matches(name, self.names(), n=1)
        raise UsageProblem(f"There is no context {name!r}.", hint=f"did you mean {close[0]}?" if close else f"known: {', '.join(self.names())}")

    def current(self) -> tuple[str, str] | None:
        """Return the name chosen in a file, and `FILE:LINE` of the choice."""
        from brokercli.settings.file import line_of

        for file in (self.project, self.user):
            if file is not None and file.document.current:
                return file.document.current, f"{file.path}:{line_of(file.text, ('current',))}"
        return None


def read_contexts(environment: Mapping[str, str] = os.environ) -> Contexts:
    """Read the files. Raises UsageProblem where one is broken."""
    user_path = user_file(environment)
    user = read_configuration(user_path) if user_path else None
    project_path = project_file()
    project = read_configuration(project_path) if project_path else None
    if project is not None and project.document.trusted:
        raise project.problem(("trusted",), "a project cannot trust itself", f"write trusted into {user_path}")
    return Contexts(user, project, project is not None and _is_trusted(project.path, user))


def _is_trusted(path: Path, user: ConfigurationFile | None) -> bool:
    directories = [whole_path(directory, f"A directory in trusted of {user.path}").resolve() for directory in user.document.trusted] if user else []
    return path.resolve().parent in directories


def _refuse_untrusted(context: Context, source: str, hint: str) -> None:
    """A cloned repository must not run programs, read secrets and send them to a host it names, or configure a client."""
    assert context.file is not None
    for key, value in context.settings.items():
        table = key.partition(".")[0]
        refers = key in SECRETS and isinstance(value, str) and value.startswith(REFERENCES)
        if key == "password_command" or table == "options" or key in _READS_FILES or refers:
            raise context.file.problem(
                ("contexts", context.name, *key.split(".", 1)),
                f"{key} of context {context.name} is not used from {source}", hint)
