"""What kcat, natscli, kcl, rpk, rabtap and the brokers' own tools call what is here: an unknown word is answered with ours."""

from __future__ import annotations

import re

_DELETES = "nothing is deleted by its name alone; brokercli topology apply FILE --prune-name PATTERN takes away what a file does not declare"
_COMMANDS = {
    "brokercli": {
        "consume sub subscribe read get cat fetch": "brokercli tail prints what comes from now on, brokercli replay what is stored; both take nothing away",
        "pub produce send put": "brokercli publish",
        "list topic topics stream streams queue queues exchange exchanges subjects": "brokercli ls lists them, brokercli describe explains one, "
                                                                                    "brokercli declare makes them",
        "info": "brokercli describe",
        "create": "brokercli declare",
        "delete rm purge": _DELETES,
        "group groups consumer lag": "brokercli consumers ls, brokercli consumers lag",
        "seek": "brokercli consumers seek",
        "copy cp mirror": "brokercli replay ADDRESS --to ADDRESS",
        "redrive inspect drop park": "brokercli dlq redrive, inspect, drop, park",
        "config profile": "brokercli context",
        "version": "brokercli --version",
    },
    "brokercli dlq": {
        "replay requeue retry resend reprocess shovel republish": "brokercli dlq redrive",
        "purge delete rm clear": "brokercli dlq drop, which keeps them in a journal",
        "read peek get cat": "brokercli dlq inspect for all of them, brokercli dlq show for one",
        "move mv": "brokercli dlq park --to ADDRESS",
    },
    "brokercli consumers": {
        "reset offset offsets": "brokercli consumers seek",
        "delete": "brokercli consumers rm",
        "info": "brokercli consumers describe",
    },
    "brokercli context": {"select set switch": "brokercli context use", "create": "brokercli context add", "delete remove": "brokercli context rm",
                          "info": "brokercli context show"},
}
_WHERE = "where messages lie is the ADDRESS, without an option: brokercli tail orders"
_OPTIONS = {
    "-t --topic --stream --queue --subject": _WHERE,
    "-b --broker --brokers --bootstrap-server --server -X --uri --url": "--context NAME behind the command says which broker is meant, or the address does: "
                                                                        "kafka://HOST/TOPIC, nats://HOST/SUBJECT, amqp://HOST/VHOST/QUEUE",
    "-C": "brokercli tail ADDRESS prints what comes from now on, brokercli replay ADDRESS what is stored",
    "-P": "brokercli publish ADDRESS",
    "-L": "brokercli ls",
    "-c --context": "it stands behind the command: brokercli ls --context NAME",
    "-G -g --group": "a consumer is named without an option: brokercli consumers lag NAME; brokercli tail joins none",
    "-J --json": "-o json",
    "--raw": "-o raw",
    "--offset --start --since --last --from-beginning --all": "where to begin is --from start, 1200, -20 (the last 20) or @-1h",
    "--range --until": "brokercli replay ADDRESS --from POS --until POS reads from a place to a place",
    "-e --until-end": "brokercli replay ends by itself, at what is the end when it starts",
    "--num --max-messages": "-n N",
    "-K --key-delimiter": "one key for all is -k KEY; a key of each is in its envelope: --input json",
    "--force": "--yes",
}
_SETTINGS = "settings go under the broker's own names: --set NAME=VALUE; brokercli declare settings lists them"
_COMMAND = re.compile(r"No such command '([^']*)'")
_OPTION = re.compile(r"No such option: (\S+)")
_POSITION = re.compile(r"'(?:beginning|earliest|start|stored|end|latest|-?\d+)' is not one of 'auto', 'json', 'raw'")


def ours(path: str, message: str) -> str | None:
    """Return what is to be typed instead of a word that typer complained of, which stood behind `path` (`brokercli dlq`); None where nothing
    else is called so."""
    if command := _COMMAND.match(message):
        return _found(_COMMANDS.get(path, {}), command[1])
    if option := _OPTION.match(message):
        said = _found(_OPTIONS, option[1])
        return _SETTINGS if path.startswith("brokercli declare ") and option[1].startswith("--") and said in (None, _WHERE) else said
    return "where to begin is --from" if _POSITION.search(message) else None


def _found(table: dict[str, str], word: str) -> str | None:
    return next((said for words, said in table.items() if word in words.split()), None)
