"""The topics of `brokercli help`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """A page, and the line that announces it."""

    summary: str
    text: str


ADDRESSES = """
ADDRESSES: where messages live, and where they go

  orders.created                 a Kafka topic, a NATS subject, a RabbitMQ queue: whatever the broker calls it
  topic:orders.created           the same with its kind said: topic: subject: stream: queue: exchange:
  exchange:orders/eu.created     a RabbitMQ exchange and a routing key; exchange:orders leaves the key to each message
  exchange:/orders               the default exchange
  @staging/orders.created        on the broker of another context
  nats://host:4222/orders.>      on a broker that has no context: kafka://HOST/TOPIC, nats://HOST/SUBJECT,
  amqp://host/vhost/queue:orders amqp://HOST/VHOST/QUEUE (the default virtual host is written %2F)

A name that could be two things on its broker is refused, and both spellings are printed.
A name that holds a colon, or begins with @, needs its kind said: queue:a:b.
User names and passwords in URLs are percent-encoded: @ %40, : %3A, / %2F, # %23, ? %3F, % %25.
"""

POSITIONS = """
POSITIONS: places in what is stored, for --from, --until and --range

  start                    the oldest record
  end                      behind the newest one, at the moment the command starts
  1200                     an offset (Kafka, RabbitMQ streams) or a sequence (JetStream); on Kafka, in every partition
  -20                      20 records before the end, in all
  3:1200                   partition 3, offset 1200; 3:1200,4:900 for several, the others are left out
  @2026-11-23T10:00Z       the first record at or after a time; without a zone it is UTC; seconds since 1970 work, too
  @-1h  @-90s  @-2d        so long ago; ms s m h d w, and 1h30m
  @now                     this moment

  --range A:B              both ends at once: 100:200, start:@-1h

The first position is included, the last is not. The end is looked up once, so a source that keeps growing ends, too.
A position that is not stored is refused with the range that is (exit code 1); nothing is read from another place instead.
"""

OUTPUT = """
OUTPUT: data goes to standard output, everything said about it to standard error

  -o auto     on a terminal a readable entry for each record; in a pipe the bodies, one a line
  -o json     one JSON object a line, the envelope; brokercli publish --input json takes exactly this
  -o bodies   the bodies, one a line, on a terminal as well
  -o raw      the bodies' exact bytes, nothing between them; refused on a terminal
  -f FORMAT   each record by a format: -f '%t %p %o %k %v\\n'
{verbs}
              modifiers: %v{{hex}}, %v{{base64}}, %d{{strftime[%F %T]}}; escapes: \\n \\t \\r \\0 \\\\, %% for %

  lists (ls, describe, brokers, context ls) know -o table and -o json; json is one object a line

ENVELOPE
  {{"v":1,"broker":"kafka","topic":"orders","partition":3,"offset":1200,"time":"2026-11-23T10:00:00.123Z",
   "key":"c-7","headers":[{{"name":"sig","value":{{"base64":"AP8="}}}}],"body":"…"}}

  Bytes are a string where they are UTF-8, else {{"base64":…}}; null is not "". Headers keep their order and repeats.
  subject, stream, sequence (NATS), exchange, routing_key, queue, properties (RabbitMQ) appear where the broker has them.

On a terminal, characters that would steer it are shown as escapes (\\x1b), also in keys, names and errors of brokers.
Colours: off in a pipe, with --no-color, NO_COLOR or TERM=dumb; FORCE_COLOR=1 turns them on.
"""

FILTERS = """
FILTERS: which records; several conditions must all hold

  --grep TEXT           the body holds TEXT; --grep /REGEX/ the body matches; repeat for all of several
  --header NAME         the record has this header; --header NAME=VALUE with this value
  --where CEL           an expression in CEL over the envelope is true; value is the body where it is JSON:
                          --where 'value.amount > 100 && topic.startsWith("orders.")'
                          --where 'has(value.customer) && value.customer.country == "DE"'
                        (needs: pip install 'brokercli[cel]')

  -n N                  stop after N records that match
  --fail-if-empty       exit with 9 when none did
"""

CONTEXTS = """
CONTEXTS: names for brokers

  brokercli demo                            a broker of your own, chosen and explained; brokercli context use local later
  brokercli context add staging --url …     write one down;  brokercli context use staging  chooses it
  brokercli context ls | show --origin      what there is, and where each value comes from

Which broker is meant, the first that says so:
  1. the address (@staging/orders, nats://host/orders) or --context NAME (a URL works, too)
  2. BROKERCLI_CONTEXT, or BROKERCLI_URL
  3. current in brokercli.toml, looked for from the working directory upwards to the top of the repository
  4. current in your own configuration, ~/.config/brokercli/config.toml
Where nobody says so, a command fails with exit code 2. The context `local` is always there: a nats-server of your own.

  current = "staging"

  [contexts.staging]
  url = "kafka://a.example:9092,b.example:9092"    # kafkas:// with TLS; nats:// tls:// amqp:// amqps://
  user = "app"
  password = "env:STAGING_PASSWORD"                # or file:PATH, keyring:SERVICE/USER, or the password itself
  # password_command = ["pass", "show", "kafka/staging"]
  # token, credentials (NATS), mechanism (SASL), vhost, management (RabbitMQ), dlq, connect_timeout (seconds)
  protected = true                                 # changing anything wants --context staging; readonly = true refuses
  [contexts.staging.tls]                           # ca, certificate, key, key_password, server_name, insecure
  ca = "ca.pem"
  [contexts.staging.options]                       # the client's own settings, those that are allowed
  "socket.timeout.ms" = 10000

A file with a password in it is refused while others can read it (chmod 600). A brokercli.toml may not run programs, refer
to secrets or set options, because anybody may have written it: unless its directory is listed in your own configuration,
trusted = ["/home/me/shop"].
"""

ENVIRONMENT = """
ENVIRONMENT

  BROKERCLI_CONTEXT       the context that is meant where the command says none
  BROKERCLI_URL           a broker's URL instead; not both
  BROKERCLI_CONFIG_DIR    where config.toml is; else $XDG_CONFIG_HOME/brokercli, else ~/.config/brokercli
  BROKERCLI_STATE_DIR     where the local broker and crash reports are; else $XDG_STATE_HOME/brokercli, ~/.local/state/brokercli
  BROKERCLI_NO_INPUT      set: never ask anything
  BROKERCLI_DEBUG         set: show a traceback with an error, as --debug does
  NO_COLOR, FORCE_COLOR   colours off, colours on; TERM=dumb: no colours and no moving lines
  COLUMNS                 how wide tables may be

Variables that hold passwords (env:NAME in a context, BROKERCLI_URL with one in it) are not passed on to programs that
--through and the like run.
"""

EXIT_CODES = """
EXIT CODES

    0   all done; also when nothing matched
    1   failed, and nothing was changed; or a bug, which says that it is one
    2   used wrongly: nothing was sent
    3   partly done: some messages were refused
    4   in doubt: messages were sent and their verdict never came (goes before 3)
    5   the broker cannot be reached
    6   not authorised: login, TLS, permission
    7   this broker cannot do that; brokercli brokers says why
    8   a plan, and it holds changes
    9   nothing matched, and --fail-if-empty was given
   10   local files: a journal, a report or the output could not be written
  124   --timeout is over, and nothing is in doubt
  130   Ctrl-C, after what was in flight was settled; 143 the same for SIGTERM
  141   the reader of our output closed the pipe

brokercli local status exits with 1 when the local broker does not run.
"""


TOPICS = {
    "addresses": Topic("where messages live and go", ADDRESSES),
    "positions": Topic("places in what is stored: --from, --until, --range", POSITIONS),
    "output": Topic("bodies, envelopes, formats", OUTPUT),
    "filters": Topic("which records: --grep, --header, --where", FILTERS),
    "contexts": Topic("which broker is meant, and where its settings are written", CONTEXTS),
    "environment": Topic("variables", ENVIRONMENT),
    "exit-codes": Topic("what a script can rely on", EXIT_CODES),
}

def page(name: str) -> str:
    """Return a topic's text, with what the program itself knows filled in."""
    if name == "output":
        from brokercli.terminal.format import VERBS

        return OUTPUT.format(verbs="\n".join(f"              %{verb}  {what}" for verb, what in VERBS.items())).lstrip()
    return TOPICS[name].text.lstrip()
