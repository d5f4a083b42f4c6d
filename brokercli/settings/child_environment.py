"""What the programs that we run may know of our environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from brokercli.model.errors import UsageProblem

_REFERENCE = re.compile(r"""["']env:([^"']+)["']""")
_LOGIN = re.compile(r"://[^/]*@")


def environment_for_children(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment less every variable that a context takes a secret from, and less a BROKERCLI_URL with a login in it."""
    from brokercli.settings.file import read_configuration
    from brokercli.settings.places import project_file, user_file

    secret = {"BROKERCLI_URL"} if _LOGIN.search(environment.get("BROKERCLI_URL", "")) else set()
    for path in (user_file(environment), project_file()):
        try:
            file = read_configuration(path) if path else None
        except UsageProblem:
            continue  # nothing was read from a broken file either
        if file is not None:
            secret.update(_REFERENCE.findall(file.text))
    return {name: value for name, value in environment.items() if name not in secret}
