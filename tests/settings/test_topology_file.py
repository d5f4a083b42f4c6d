"""Topology files: everything a broker should have, read with file and line of what is wrong, written so that it reads the same."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokercli.backends.registry import Descriptor, descriptors, settings_of
from brokercli.model.declaration import Declaration, Form, RetrySpecification, Setting, SettingValue, Topology, binding
from brokercli.model.errors import Unsupported, UsageProblem
from brokercli.settings.topology_file import place_of_problem, read_topology, read_topology_file
from brokercli.settings.topology_schema import topology_schema
from brokercli.settings.topology_writing import write_topology

MEMORY = next(descriptor for descriptor in descriptors() if descriptor.name == "memory")


def declarations(text: str) -> list[Declaration]:
    return list(read_topology(text, "shop.toml", MEMORY).declarations)


def test_durations_and_sizes_are_read_as_the_broker_counts() -> None:
    assert declarations('[topic."orders.created"]\n"max.age" = "7d"\n"max.size" = "64MiB"\nkeep = 5\nsteps = ["5s", 10]\n') == [
        Declaration("topic", "orders.created", {"max.age": 604_800_000, "max.size": 67_108_864, "keep": 5, "steps": [5000, 10]})]


def test_a_setting_whose_dots_are_not_quoted_is_the_same_setting() -> None:
    assert declarations('[topic.orders]\nmax.age = "1s"\nmax.size = 3\nlabels = {team = "shop"}\n') == [
        Declaration("topic", "orders", {"max.age": 1000, "max.size": 3, "labels": {"team": "shop"}})]


def test_a_thing_without_settings_is_declared_with_the_brokers_own() -> None:
    assert declarations("[queue.orders]\n") == [Declaration("queue", "orders")]


def test_settings_that_are_unset_are_named_in_a_list() -> None:
    assert declarations('[topic.orders]\nkeep = 5\nunset = ["max.age", "owners"]\n') == [
        Declaration("topic", "orders", {"keep": 5, "max.age": None, "owners": None})]


@pytest.mark.parametrize(("written", "destination"), [
    ("work", "queue:work"), ("queue:work", "queue:work"), ("exchange:audit", "exchange:audit"), ("a:b", "queue:a:b"), ("queue", "queue:queue"),
    ("exchange", "queue:exchange")])
def test_a_binding_leads_to_a_queue_unless_it_says_exchange(written: str, destination: str) -> None:
    rabbitmq = next(descriptor for descriptor in descriptors() if descriptor.name == "rabbitmq")
    bound, = read_topology(f'[[binding]]\nsource = "orders"\ndestination = "{written}"\n', "shop.toml", rabbitmq).declarations
    assert bound == binding("orders", destination, "")


@pytest.mark.parametrize("name", ["ORDERS", "ORDERS/", "/worker", ""])
def test_a_consumer_has_a_stream_and_a_name(name: str) -> None:
    nats = next(descriptor for descriptor in descriptors() if descriptor.name == "nats")
    with pytest.raises(UsageProblem, match=rf"shop.toml:2: '{name}' is no consumer"):
        read_topology(f'\n[consumer."{name}"]\n', "shop.toml", nats)
    assert read_topology('[consumer."ORDERS/worker"]\n', "shop.toml", nats).declarations == (Declaration("consumer", "ORDERS/worker"),)


@pytest.mark.parametrize(("text", "place", "words", "hint"), [
    ("[topic.orders]\nunset = 'keep'\n", "shop.toml:2", "unset is not a list of names of settings", 'unset = ["max.age"]'),
    ("[topic.orders]\nunset = ['keep', 5]\n", "shop.toml:2", "unset is not a list of names of settings", None),
    ("[topic.orders]\n\nunset = ['kepp']\n", "shop.toml:3", "the topic orders has no setting 'kepp'", "did you mean keep?"),
    ("[topic.orders]\nunset = ['order']\n", "shop.toml:2", "order cannot be unset, because it never changes", None),
    ("[topic.orders]\nkeep = 1\nunset = ['keep']\n", "shop.toml:3", "the topic orders sets keep and unsets it", "leave one"),
    ("\n[topic.orders]\nkep = 1\n", "shop.toml:3", "the topic orders has no setting 'kep'", "did you mean keep?"),
    ('[topic.orders]\n\nkeep = "1"\n', "shop.toml:3", 'keep: "1" is not a whole number', None),
    ('[topic.orders]\nmax.age = "7x"\n', "shop.toml:2", "max.age: '7x' is no duration", "durations:"),
    ("[topics.orders]\n", "shop.toml:1", "'topics' is nothing that can be declared", "did you mean topic?"),
    ("[topic.orders.created]\nkeep = 1\n", "shop.toml:2", "no setting 'created.keep'", '[topic."orders.created"]'),
    ("broker = 'kafka'\n", "shop.toml:1", "this file is for kafka", "--context"),
    ("[queue.a]\n[topic]\norders = 5\n", "shop.toml:3", "the topic orders is no table", None),
    ("topic = 5\n", "shop.toml:1", "topic is no table", None),
    ("prune = 'orders.*'\n", "shop.toml:1", "prune is not a list", None),
    ("prune = ['orders.*', '']\n", "shop.toml:1", "prune is not a list", None),
    ("prune = [5]\n", "shop.toml:1", "prune is not a list", None),
    ("[topic.orders\n", "shop.toml:1", "this is not TOML", None),
    ("[retry.orders]\nattempts = 3\n", "shop.toml:1", "Retries need delays", 'delays = ["5s"'),
    ('[retry.orders]\nattempts = 2\ndelays = ["5s", "1m"]\n', "shop.toml:3", "2 attempts wait 1 time", "attempts = 3"),
    ('[retry.orders]\ndelays = ["5s"]\nattempt = 2\n', "shop.toml:3", "no setting 'attempt'", "did you mean attempts?"),
    ('[retry.orders]\ndelays = ["5s"]\n[retry.orders.settings]\nkep = 2\n', "shop.toml:4", "no setting 'kep'", "did you mean keep?"),
])
def test_what_is_wrong_is_said_with_its_line(text: str, place: str, words: str, hint: str | None) -> None:
    with pytest.raises(UsageProblem) as refused:
        read_topology(text, "shop.toml", MEMORY)
    assert str(refused.value).startswith(f"{place}:")
    assert words in str(refused.value)
    assert hint is None or hint in (refused.value.hint or "")


def test_what_is_to_go_is_named_by_patterns() -> None:
    assert read_topology('prune = ["orders.*", "binding:orders/*"]\n', "shop.toml", MEMORY).prune == ("orders.*", "binding:orders/*")
    assert read_topology("", "shop.toml", MEMORY) == Topology()


def test_a_retry_says_what_it_says_and_no_more() -> None:
    retry, = read_topology('[retry.orders]\ndelays = ["5s"]\ndead_letter = ""\nconsumer = "w"\nnative = true\n', "shop.toml", MEMORY).retries
    assert (retry.delays, retry.attempts, retry.dead_letter, retry.consumer, retry.native) == ((5_000_000_000,), 2, None, "w", True)


def test_a_kind_that_the_broker_does_not_have_is_refused_with_the_reason_and_its_line() -> None:
    with pytest.raises(Unsupported, match=r"shop\.toml:2: Memory has no streams to declare: its topics keep their messages"):
        read_topology("[topic.a]\n[stream.orders]\n", "shop.toml", MEMORY)


def test_a_file_that_is_not_utf_8_is_refused_with_its_line() -> None:
    with pytest.raises(UsageProblem, match=r"shop\.toml:2: the file is not UTF-8"):
        read_topology_file("shop.toml", b"[topic.a]\n# \xff\n", MEMORY)


def test_a_retry_says_how_often_and_after_which_delays() -> None:
    text = '[retry.orders]\ndelays = ["5s", "1m"]\ndead_letter = "dead"\nconsumer = "worker"\nnative = true\nsettings = {keep = 7, max.age = "1s"}\n'
    assert read_topology(text, "shop.toml", MEMORY).retries == (
        RetrySpecification("orders", (5_000_000_000, 60_000_000_000), 3, "dead", "worker", True, {"keep": 7, "max.age": 1000}),)


ONE = '[[binding]]\nsource = "a"\ndestination = "b"\n'


@pytest.mark.parametrize(("text", "words"), [
    ('[[binding]]\nsource = "orders"\n', "shop.toml:1: this binding has no destination"),
    (f'{ONE}\n{ONE}routing_kei = "k"\n', "shop.toml:8: a binding has no setting"),
    (f'{ONE}\n[[binding]]\nsource = "a"\ndestination = "queue:b"\n', "shop.toml:5: the binding a/ -> queue:b is declared twice"),
    ('[binding.orders]\nsource = "orders"\n', "shop.toml:1: bindings are a list of tables"),
])
def test_bindings_are_checked_one_by_one(text: str, words: str) -> None:
    with pytest.raises(UsageProblem) as refused:
        read_topology(text, "shop.toml", BINDING)
    assert words in str(refused.value)


BINDING = Descriptor("shop", "Shop", ("shop",), "", "", "", ("queue",), 1, {}, declarable="tests.settings.test_topology_file:WITH_BINDINGS")
WITH_BINDINGS = {"binding": (), "queue": (Setting("arguments", Form.TABLE, ""),)}


def test_a_binding_goes_to_a_queue_unless_it_says_otherwise() -> None:
    text = '[[binding]]\nsource = "a"\ndestination = "b"\nrouting_key = "k"\n[[binding]]\nsource = "a"\ndestination = "exchange:c"\narguments = {x = 1}\n'
    assert list(read_topology(text, "shop.toml", BINDING).declarations) == [binding("a", "queue:b", "k"), binding("a", "exchange:c", "", {"x": 1})]


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)
VALUES: dict[str, st.SearchStrategy[SettingValue]] = {
    "keep": st.integers(0, 10**9), "order": st.sampled_from(["sent", "time"]), "max.age": st.integers(-1, 10**12), "max.size": st.integers(-1, 10**12),
    "sample": st.floats(0, 1), "closed": st.booleans(), "owners": st.lists(NAMES, max_size=3), "steps": st.lists(st.integers(0, 10**9), max_size=3),
    "labels": st.dictionaries(NAMES, NAMES | st.integers(-5, 5) | st.dictionaries(NAMES, st.booleans(), max_size=2), max_size=3),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, st.fixed_dictionaries({}, optional=VALUES), max_size=4))
def test_what_is_written_is_read_as_the_same_declarations(topics: dict[str, dict[str, SettingValue]]) -> None:
    declared = [Declaration("topic", name, its) for name, its in topics.items()]
    text = write_topology(declared, "memory", settings_of(MEMORY), "a comment")
    assert sorted(declarations(text), key=lambda one: one.name) == sorted(declared, key=lambda one: one.name)


def test_bindings_are_written_as_a_list_and_read_as_the_same() -> None:
    declared = [binding("a", "exchange:c", "", {"x": 1}), binding("a", "queue:b", "k")]
    text = write_topology([Declaration("queue", "b", {"arguments": {"y": True}}), *declared], "shop", WITH_BINDINGS, "")
    assert text.count("[[binding]]") == 2
    assert list(read_topology(text, "shop.toml", BINDING).declarations) == [Declaration("queue", "b", {"arguments": {"y": True}}), *declared]


def test_the_schema_knows_every_setting_in_both_spellings() -> None:
    schema = json.loads(json.dumps(topology_schema(descriptors())))
    topic = schema["$defs"]["memory-topic"]["properties"]
    assert topic["max.age"] == topic["max"]["properties"]["age"]
    assert topic["order"]["enum"] == ["sent", "time"]
    assert topic["order"]["description"].startswith("by when messages were sent, or by the time they carry; never changes: what is stored")
    for descriptor in descriptors():
        for kind, known in settings_of(descriptor).items():
            if kind != "binding":
                assert {setting.name for setting in known} <= set(schema["$defs"][f"{descriptor.name}-{kind}"]["properties"])


@pytest.mark.parametrize(("problem", "place"), [
    ("The queue orders.new cannot be had.", "shop.toml:2"), ("There is no queue orders to make retries for.", "shop.toml:6"),
    ("The binding a/k -> queue:b needs the exchange a.", "shop.toml:3"), ("It is full.", None), ("No orders.newer is there.", None),
])
def test_what_the_broker_objects_to_is_said_with_its_line(problem: str, place: str | None) -> None:
    text = '# mine\n[queue."orders.new"]\n[[binding]]\nsource = "a"\ndestination = "b"\n[retry.orders]\ndelays = ["5s"]\n'
    declared = (Declaration("queue", "orders.new"), binding("a", "queue:b", "k"))
    topology = Topology(declared, (RetrySpecification("orders", (5,), 2),))
    assert place_of_problem(problem, topology, text.encode(), "shop.toml") == place


@pytest.mark.parametrize(("problem", "place"), [
    ("The name 'a\\nb' holds a line end.", "shop.toml:2"), (f"A name has 255 bytes at most, and {'x' * 60!r}… has 300.", "shop.toml:3"),
    (f"{'x' * 200!r} is no stream name.", "shop.toml:3"), ("The name 'e\\rf' holds a line end.", "shop.toml:4"),
    (f"A routing key has 255 bytes at most, and that of {'o/' + 'k' * 58!r}… has 300.", "shop.toml:8"), ("The name 'a\\nbc' holds a line end.", None),
])
def test_the_line_is_found_of_a_name_that_is_written_otherwise_and_of_the_end_of_a_binding(problem: str, place: str | None) -> None:
    long, key = "x" * 300, "k" * 300
    text = (f'# mine\n[queue."a\\nb"]\n[queue.{long}]\n[[binding]]\nsource = "o"\ndestination = "e\\rf"\n\n'
            f'[[binding]]\nsource = "o"\ndestination = "a\\nb"\nrouting_key = "{key}"\n')
    topology = Topology((Declaration("queue", "a\nb"), Declaration("queue", long), binding("o", "queue:e\rf"), binding("o", "queue:a\nb", key)))
    assert place_of_problem(problem, topology, text.encode(), "shop.toml") == place


def test_dotted_keys_stay_distinct_in_toml() -> None:
    text = write_topology([Declaration("topic", "a.b", {"max.age": 1000})], "memory", settings_of(MEMORY), "")
    assert tomllib.loads(text)["topic"] == {"a.b": {"max.age": "1s"}}
