"""Which broker is meant, and what a context says about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from brokercli.model.address import Address, parse_address
from brokercli.model.connection import TLS, Secret
from brokercli.model.errors import Unreachable, UsageProblem
from brokercli.settings.contexts import Context
from brokercli.settings.places import project_file
from brokercli.settings.resolve import Choice, check, choose, connection_of, resolve_connection
from brokercli.settings.schema import Setting
from tests.commandline import CommandLine

CONTEXTS = """
current = "user"
[contexts.user]
url = "nats://user.example"
[contexts.other]
url = "kafka://other.example:9092"
protected = true
readonly = true
dlq = "orders.dlq"
"""
PROJECT = """
current = "project"
[contexts.project]
url = "nats://project.example"
"""
ORDERS = Address("orders")


def test_nothing_chosen_is_refused_with_three_ways_to_choose(home: Path) -> None:
    with pytest.raises(UsageProblem, match="No broker is chosen") as refused:
        resolve_connection(ORDERS, None)
    for way in ("brokercli demo", "brokercli context add", "nats://HOST/ADDRESS"):
        assert way in str(refused.value.hint)


def test_the_nearest_word_decides(user_configuration: Path, project_configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_configuration.write_text(CONTEXTS)
    assert resolve_connection(ORDERS, None).name == "user"
    project_configuration.write_text(PROJECT)
    assert resolve_connection(ORDERS, None).name == "project"
    monkeypatch.setenv("BROKERCLI_CONTEXT", "other")
    assert resolve_connection(ORDERS, None).name == "other"
    assert not resolve_connection(ORDERS, None).said
    assert resolve_connection(ORDERS, "user").name == "user"
    assert resolve_connection(parse_address("@user/orders"), None).name == "user"
    assert resolve_connection(ORDERS, "user").said
    assert resolve_connection(parse_address("amqp://h/shop/queue:q"), None).connection.virtual_host == "shop"
    assert resolve_connection(ORDERS, "kafka://x:1").connection.hosts == (("x", 1),)


def test_a_url_in_the_environment_chooses_and_is_never_quoted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKERCLI_URL", "nats://app:hunter2@host:1")
    resolved = resolve_connection(ORDERS, None)
    assert (resolved.name, resolved.connection.password) == ("nats://app:****@host:1", Secret("hunter2"))
    monkeypatch.setenv("BROKERCLI_URL", "nats://app:hunter2@host:x")
    with pytest.raises(UsageProblem, match=r"^BROKERCLI_URL has a port") as refused:
        resolve_connection(ORDERS, None)
    assert "hunter2" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(("address", "option", "variables", "choice"), [
    ("orders", "a", {"BROKERCLI_CONTEXT": "b"}, Choice("a", None, "--context", True)),
    ("orders", "nats://h", {}, Choice(None, "nats://h", "--context", True)),
    ("@a/orders", None, {"BROKERCLI_URL": "nats://h"}, Choice("a", None, "the address", True)),
    ("@a/orders", "a", {}, Choice("a", None, "--context", True)),
    ("nats://h/orders", None, {"BROKERCLI_CONTEXT": "b"}, Choice(None, "nats://h", "the address", True)),
    ("orders", None, {"BROKERCLI_CONTEXT": "b"}, Choice("b", None, "BROKERCLI_CONTEXT", False)),
    ("orders", None, {"BROKERCLI_URL": "nats://h"}, Choice(None, "nats://h", "BROKERCLI_URL", False)),
    ("orders", None, {}, Choice("user", None, "FILE:2", False))])
def test_who_chose_the_broker_is_known_and_whether_this_command_said_it(user_configuration: Path, address: str, option: str | None,
                                                                       variables: dict[str, str], choice: Choice) -> None:
    user_configuration.write_text(CONTEXTS)
    chosen = choose(parse_address(address), option, {"HOME": str(user_configuration.parents[2]), **variables})
    assert chosen._replace(source=chosen.source.replace(str(user_configuration), "FILE")) == choice


@pytest.mark.parametrize("option", ["", " "])
def test_an_empty_context_is_not_the_one_that_is_current(user_configuration: Path, option: str) -> None:
    user_configuration.write_text(CONTEXTS)
    with pytest.raises(UsageProblem, match=r"^--context is empty"):
        choose(ORDERS, option)


@pytest.mark.parametrize(("address", "option", "variables", "words"), [
    ("@a/orders", "b", {}, "The address says @a/, and --context says b"),
    ("nats://h/orders", "b", {}, "names its broker, and so does --context"),
    ("orders", None, {"BROKERCLI_CONTEXT": "a", "BROKERCLI_URL": "nats://h"}, "both set"),
])
def test_two_words_that_contradict_each_other_are_refused(home: Path, address: str, option: str | None, variables: dict[str, str], words: str) -> None:
    with pytest.raises(UsageProblem, match=words):
        choose(parse_address(address), option, {"HOME": str(home), **variables})


def test_a_context_that_does_not_exist_is_refused_with_the_one_that_could_be_meant(user_configuration: Path) -> None:
    user_configuration.write_text(CONTEXTS.replace('current = "user"', 'current = "usr"'))
    with pytest.raises(UsageProblem, match=r"no context 'usr'.*config.toml:2") as refused:
        resolve_connection(ORDERS, None)
    assert refused.value.hint == "did you mean user?"


def test_a_url_where_a_name_is_wanted_is_not_repeated(user_configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKERCLI_CONTEXT", "nats://somebody:sekret@h")
    with pytest.raises(UsageProblem, match="BROKERCLI_CONTEXT") as refused:
        resolve_connection(ORDERS, None)
    assert "sekret" not in f"{refused.value}{refused.value.hint}"
    assert "BROKERCLI_URL" in str(refused.value.hint)


def test_what_a_context_says_about_itself_is_passed_on(user_configuration: Path) -> None:
    user_configuration.write_text(CONTEXTS)
    other, user = resolve_connection(ORDERS, "other"), resolve_connection(ORDERS, "user")
    assert (other.protected, other.readonly, other.dlq) == (True, True, "orders.dlq")
    assert (user.protected, user.readonly, user.dlq) == (False, False, None)


def test_every_setting_reaches_the_connection(user_configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (user_configuration.parent / "key.pem").touch(mode=0o600)
    monkeypatch.setenv("KEY_PASSWORD", "k")
    user_configuration.write_text("""[contexts.a]
url = "amqps://r1:5671,r2"
user = "app"
password_command = ["printf", "s3cret\\n"]
mechanism = "EXTERNAL"
vhost = "shop/eu"
management = "https://r1:15671"
connect_timeout = 2
tls = { ca = "ca.pem", certificate = "/c.pem", key = "key.pem", key_password = "env:KEY_PASSWORD", server_name = "r", insecure = true }
options = { heartbeat = 10, locale = "de_DE" }
""")
    connection = resolve_connection(ORDERS, "a").connection
    here = user_configuration.parent
    assert connection.hosts == (("r1", 5671), ("r2", None))
    assert (connection.user, connection.password, connection.mechanism, connection.virtual_host) == ("app", Secret("s3cret"), "EXTERNAL", "shop/eu")
    assert (connection.management, connection.connect_timeout, connection.options) == ("https://r1:15671", 2.0, {"heartbeat": "10", "locale": "de_DE"})
    assert connection.tls == TLS(str(here / "ca.pem"), "/c.pem", str(here / "key.pem"), Secret("k"), "r", True)


@pytest.mark.parametrize(("settings", "why"), [
    ({"dlq": "nats://u:hunter2@other/orders.dlq"}, "dlq of context a names a broker"), ({"dlq": "@other/orders.dlq"}, "dlq of context a names a broker"),
    ({"dlq": "stream:ORDERS-DLQ"}, None), ({"dlq": "@a/orders.dlq"}, None), ({}, None), ({"url": "amqp://h", "management": "http://h:15672"}, None),
    ({"url": "amqp://h", "management": "http://u:hunter2@h:15672"}, "management of context a holds a login")])
def test_a_context_names_one_broker_and_one_login(settings: dict[str, str], why: str | None) -> None:
    context = Context("a", {"url": "nats://h", **settings})
    if why is None:
        check(context)
        return
    with pytest.raises(UsageProblem, match=why) as refused:
        check(context)
    assert "hunter2" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(("settings", "connection"), [
    ({"url": "amqp://h"}, {"virtual_host": "/", "user": None}), ({"url": "amqp://h/shop"}, {"virtual_host": "shop"}),
    ({"url": "amqp://h", "vhost": "shop"}, {"virtual_host": "shop"}), ({"url": "amqp://h/shop", "vhost": "shop"}, {"virtual_host": "shop"}),
    ({"url": "amqp://app:p@h"}, {"user": "app", "password": Secret("p")}),
    ({"url": "amqp://app:p@h", "user": "other", "password": "q"}, {"user": "other", "password": Secret("q")}),
    ({"url": "nats://h", "tls.insecure": True}, {"tls": TLS(insecure=True)}),
    ({"url": "nats://t@h"}, {"token": Secret("t")}), ({"url": "nats://t@h", "token": "u"}, {"token": Secret("u")})], ids=str)
def test_what_a_context_says_comes_before_what_its_url_says(settings: dict[str, Setting], connection: dict[str, object]) -> None:
    made = connection_of(Context("a", settings))
    assert {name: getattr(made, name) for name in connection} == connection


def test_two_virtual_hosts_in_one_context_are_refused() -> None:
    with pytest.raises(UsageProblem, match="vhost of context a and its url name two different virtual hosts"):
        connection_of(Context("a", {"url": "amqp://h/shop", "vhost": "eu"}))


@pytest.mark.parametrize("url", ["kafkas://h", "tls://h", "amqps://h"])
def test_a_scheme_that_means_tls_comes_with_it(home: Path, url: str) -> None:
    assert resolve_connection(None, url).connection.tls == TLS()
    assert resolve_connection(None, url.replace("kafkas", "kafka").replace("tls:", "nats:").replace("amqps", "amqp")).connection.tls is None


@pytest.mark.parametrize("secret", ['url = "nats://h"\npassword = "hunter2"', 'url = "nats://h"\ntoken = "hunter2"',
                                    'url = "nats://h"\ntls = { key_password = "hunter2" }', 'url = "nats://u:hunter2@h"', 'url = "nats://hunter2@h"'])
def test_a_file_with_a_password_in_it_that_others_can_read_is_refused_by_its_path(user_configuration: Path, secret: str,
                                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELSEWHERE", "hunter2")
    user_configuration.write_text(f'[contexts.a]\n{secret}\n[contexts.b]\nurl = "nats://h"\npassword = "env:ELSEWHERE"\n')
    assert resolve_connection(ORDERS, "a").name == "a"
    user_configuration.chmod(0o644)
    with pytest.raises(UsageProblem, match="others can read it") as refused:
        resolve_connection(ORDERS, "a")
    assert refused.value.hint == f"chmod 600 {user_configuration}"
    assert "hunter2" not in str(refused.value)
    assert resolve_connection(ORDERS, "b").name == "b"  # nothing secret is used from the file for this one


@pytest.mark.parametrize(("keys", "content"), [
    ("credentials", "whatever it is"), ('tls.certificate = "public"\ntls.key', "whatever it is"),
    ("tls.certificate", "-----BEGIN PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\n")], ids=["credentials", "key", "with certificate"])
def test_a_credential_file_that_others_can_read_is_refused_by_its_path(user_configuration: Path, keys: str, content: str) -> None:
    (user_configuration.parent / "secret").touch(mode=0o600)
    (user_configuration.parent / "secret").write_text(content)
    (user_configuration.parent / "public").write_text("-----BEGIN CERTIFICATE-----\n")
    (user_configuration.parent / "public").chmod(0o644)
    user_configuration.write_text(f'[contexts.a]\nurl = "tls://h"\n{keys} = "secret"\n')
    connection = resolve_connection(ORDERS, "a").connection
    assert connection.tls is not None
    assert str(user_configuration.parent / "secret") in (connection.credentials, connection.tls.key, connection.tls.certificate)
    (user_configuration.parent / "secret").chmod(0o644)
    with pytest.raises(UsageProblem, match=f"{user_configuration.parent / 'secret'} holds a secret"):
        resolve_connection(ORDERS, "a")
    user_configuration.write_text('[contexts.a]\nurl = "tls://h"\ntls.certificate = "public"\n')
    assert resolve_connection(ORDERS, "a").connection.tls == TLS(certificate=str(user_configuration.parent / "public"))


def test_a_key_without_the_certificate_it_belongs_to_is_refused_with_its_line(user_configuration: Path) -> None:
    (user_configuration.parent / "secret").touch(mode=0o600)
    user_configuration.write_text('[contexts.a]\nurl = "tls://h"\ntls.key = "secret"\n')
    with pytest.raises(UsageProblem, match=f"{user_configuration}:3: tls.key of context a is given without the certificate") as refused:
        resolve_connection(ORDERS, "a")
    assert "tls.certificate" in (refused.value.hint or "")


@pytest.mark.parametrize(("scheme", "setting", "title"), [
    ("kafka", 'management = "http://h:15672"', "Apache Kafka"), ("kafkas", 'vhost = "shop"', "Apache Kafka"), ("kafka", 'credentials = "/c"', "Apache Kafka"),
    ("nats", 'management = "http://h:15672"', "NATS"), ("tls", 'vhost = "shop"', "NATS"), ("nats", 'mechanism = "PLAIN"', "NATS"),
    ("amqp", 'token = "hunter2"', "RabbitMQ"), ("amqps", 'credentials = "/c"', "RabbitMQ")])
def test_what_only_another_broker_has_is_refused_with_its_line(user_configuration: Path, scheme: str, setting: str, title: str) -> None:
    user_configuration.write_text(f'[contexts.a]\nurl = "{scheme}://h"\n{setting}\n')
    user_configuration.chmod(0o600)
    key = setting.partition(" ")[0]
    with pytest.raises(UsageProblem, match=rf"config.toml:3: {key} of context a is no setting for {title}\.") as refused:
        resolve_connection(ORDERS, "a")
    assert "hunter2" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(("scheme", "option", "words"), [
    ("kafka", '"plugin.library.paths" = "/tmp/x.so"', "is not on the list"),
    ("kafka", '"ssl.engine.location" = "/tmp/x.so"', "is not on the list"),
    ("kafka", '"sasl.kerberos.kinit.cmd" = "id"', "is not on the list"),
    ("kafka", '"sasl.oauthbearer.token.endpoint.url" = "file:///etc/passwd"', "is not on the list"),
    ("kafka", '"acks" = 0', "is chosen by brokercli"),
    ("kafka", '"enable.idempotence" = false', "is chosen by brokercli"),
    ("kafka", '"sasl.password" = "hunter2"', "has a key of its own"),
    ("nats", '"password" = "hunter2"', "has a key of its own"),
    ("amqp", '"hartbeat" = 5', "is not on the list"),
    ("amqp", '"heartbeat" = "soon"', "is not a whole number"),
])
def test_client_options_off_the_list_are_refused_with_their_line(user_configuration: Path, scheme: str, option: str, words: str) -> None:
    user_configuration.write_text(f'[contexts.a]\nurl = "{scheme}://h"\n[contexts.a.options]\n{option}\n')
    with pytest.raises(UsageProblem, match=rf"config.toml:4: options\..* of context a {words}") as refused:
        resolve_connection(ORDERS, "a")
    assert "hunter2" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize("setting", [
    'password_command = ["touch", "ran"]', 'password = "env:SECRET"', 'password = "file:/etc/shadow"', 'token = "keyring:a/b"',
    'credentials = "/home/me/x.creds"', "tls = { key = '/home/me/key.pem' }", "tls = { certificate = '/home/me/with-key.pem' }",
    'options = { name = "x" }', "tls = { key_password = 'env:SECRET' }",
])
def test_a_projects_file_runs_nothing_reads_no_secret_and_sets_no_option_unless_trusted(
        user_configuration: Path, project_configuration: Path, setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    project_configuration.write_text(f'[contexts.evil]\nurl = "tls://attacker.example"\n{setting}\n')
    with pytest.raises(UsageProblem, match=r"brokercli.toml:3: .* is not used from a project's file") as refused:
        resolve_connection(ORDERS, "evil")
    assert f'trusted = ["{project_configuration.parent}"]' in str(refused.value.hint)
    assert str(user_configuration) in str(refused.value.hint)
    assert not (Path.cwd() / "ran").exists()


@pytest.mark.parametrize("setting", ['password_command = ["touch", "ran"]', 'password = "env:SECRET"', 'credentials = "/home/me/x.creds"'])
def test_a_file_that_everybody_may_write_to_is_trusted_no_more_than_a_projects(user_configuration: Path, setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    user_configuration.write_text(f'[contexts.a]\nurl = "tls://h"\n{setting}\n[contexts.b]\nurl = "nats://h"\n')
    user_configuration.chmod(0o646)
    with pytest.raises(UsageProblem, match=r"config.toml:3: .* of context a is not used from a file that everybody may write to") as refused:
        resolve_connection(ORDERS, "a")
    assert refused.value.hint == f"chmod 600 {user_configuration}"
    assert not (Path.cwd() / "ran").exists()
    assert resolve_connection(ORDERS, "b").name == "b"


def test_a_projects_file_may_name_a_user_and_a_password_of_its_own(user_configuration: Path, project_configuration: Path) -> None:
    project_configuration.touch(mode=0o600)
    project_configuration.chmod(0o600)
    project_configuration.write_text('[contexts.a]\nurl = "nats://h"\nuser = "app"\npassword = "for tests"\ndlq = "file:letters"\n')
    resolved = resolve_connection(ORDERS, "a")
    assert (resolved.connection.user, resolved.connection.password, resolved.dlq) == ("app", Secret("for tests"), "file:letters")


def test_a_trusted_projects_file_may(user_configuration: Path, project_configuration: Path) -> None:
    user_configuration.write_text(f'trusted = ["{project_configuration.parent}"]\n')
    project_configuration.write_text('[contexts.mine]\nurl = "nats://h"\npassword_command = ["printf", "s3cret"]\n')
    assert resolve_connection(ORDERS, "mine").connection.password == Secret("s3cret")


def test_a_project_cannot_trust_itself(user_configuration: Path, project_configuration: Path) -> None:
    project_configuration.write_text(f'trusted = ["{project_configuration.parent}"]\n')
    with pytest.raises(UsageProblem, match="a project cannot trust itself"):
        resolve_connection(ORDERS, "mine")


def test_a_projects_context_never_borrows_a_secret_from_the_users_of_the_same_name(user_configuration: Path, project_configuration: Path) -> None:
    user_configuration.write_text('[contexts.prod]\nurl = "nats://prod.example"\nuser = "app"\npassword = "hunter2"\n')
    project_configuration.write_text('[contexts.prod]\nurl = "nats://attacker.example"\n')
    connection = resolve_connection(ORDERS, "prod").connection
    assert connection.hosts == (("attacker.example", None),)
    assert (connection.user, connection.password) == (None, None)


def test_a_projects_file_is_found_up_to_the_top_of_the_repository_and_not_above(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "brokercli.toml").write_text('current = "above"\n[contexts.above]\nurl = "nats://h"\n')
    deep = home / "work" / "a" / "b"
    deep.mkdir(parents=True)
    (home / "work" / ".git").mkdir()
    monkeypatch.chdir(deep)
    with pytest.raises(UsageProblem, match="No broker is chosen"):
        choose(None, None)
    (home / "work" / "brokercli.toml").write_text('current = "inside"\n')
    assert choose(None, None).name == "inside"


def test_a_working_directory_that_cannot_be_looked_into_has_no_projects_file() -> None:
    """As after `sudo -u app` in /root. A path that is too long stands for it: root may look everywhere."""
    assert project_file(Path("/" + "deep/" * 819)) is None


def test_a_password_command_is_given_as_long_as_connecting_may_take(cli: CommandLine, user_configuration: Path) -> None:
    user_configuration.write_text('[contexts.a]\nurl = "kafka://h"\npassword_command = ["sh", "-c", "sleep 1000"]\n')
    with pytest.raises(UsageProblem, match=r"config.toml:3: password_command of context a: sh gave no password within 0\.3 s"):
        resolve_connection(ORDERS, "a", seconds=0.3)
    extra = {"XDG_CONFIG_HOME": str(user_configuration.parent.parent)}
    for command in (("tail", "orders", "--timeout", "1s"), ("ls",), ("dlq", "ls"), ("consumers", "ls"), ("doctor",)):
        ended = cli(*command, "--context", "a", "--connect-timeout", "300ms", extra=extra)
        assert (ended.code, "sh gave no password within 0.3 s" in ended.stderr) == (2, True), command


def test_in_the_background_nobody_is_asked_and_nothing_is_waited_for(user_configuration: Path) -> None:
    user_configuration.write_text("""[contexts.slow]
url = "nats://h"
password_command = ["sleep", "600"]
[contexts.asks]
url = "nats://h"
password = "keyring:prod/app"
""")
    with pytest.raises(UsageProblem, match=r"within 0\.4 s"):
        resolve_connection(None, "slow", background=True)
    with pytest.raises(Unreachable, match="keyring is not asked"):
        resolve_connection(None, "asks", background=True)
    with pytest.raises(UsageProblem, match="keyring"):  # nobody has filled it
        resolve_connection(None, "asks")
    with pytest.raises(Unreachable, match="not running"):
        resolve_connection(None, "local", background=True)


def test_a_broken_configuration_does_not_disturb_a_command_that_needs_none(user_configuration: Path) -> None:
    user_configuration.write_text("][")
    assert resolve_connection(parse_address("nats://h/orders"), None).connection.hosts == (("h", None),)


def test_a_configuration_with_another_local_in_it_is_refused_where_local_is_meant(user_configuration: Path) -> None:
    # or else what is to go there would go to the one that is built in
    user_configuration.write_text('[contexts.local]\nurl = "nats://h"\n')
    for address, option in ((ORDERS, "local"), (parse_address("@local/orders"), None)):
        with pytest.raises(UsageProblem, match=r"config\.toml:1: local is the built-in context"):
            resolve_connection(address, option, background=True)


def test_without_any_home_a_url_still_works(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert resolve_connection(parse_address("nats://h/orders"), None).connection.hosts == (("h", None),)
    with pytest.raises(UsageProblem, match="No broker is chosen"):
        resolve_connection(ORDERS, None)
