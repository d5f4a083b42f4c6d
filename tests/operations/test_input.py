"""What counts as a message in a stream of bytes: the answer must not depend on how the bytes arrive."""

from __future__ import annotations

import fcntl
import os
import resource
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokercli.model.errors import InputRefused, UsageProblem
from brokercli.model.message import Message
from brokercli.operations.input import Envelopes, Given, Lines, Whole, check_readable, open_files


def read_all(source: Lines | Whole | Envelopes) -> list[object]:
    bodies: list[object] = []
    while (found := source.read(5)) is not None:
        bodies += found
    return bodies


def read_past_refusals(source: Lines | Envelopes) -> tuple[list[tuple[int, bytes | None]], list[int]]:
    """Return (number of its line, body) of each message, and the numbers of the lines that were refused."""
    messages: list[tuple[int, bytes | None]] = []
    refused: list[int] = []
    while True:
        try:
            found = source.read(5)
        except InputRefused as problem:
            refused.append(problem.number)
            continue
        if found is None:
            return messages, refused
        messages += [(source.first + index, one if isinstance(one, bytes) else one.body) for index, one in enumerate(found)]


def pipe_of(chunks: list[bytes]) -> int:
    reader, writer = os.pipe()

    def feed() -> None:
        for chunk in chunks:
            os.write(writer, chunk)
        os.close(writer)

    threading.Thread(target=feed, daemon=True).start()
    return reader


def expected(data: bytes, delimiter: bytes) -> list[bytes]:
    *bodies, last = data.split(delimiter)
    return [*bodies, last] if last else bodies


@given(chunks=st.lists(st.binary(min_size=1, max_size=12), max_size=12), delimiter=st.sampled_from([b"\n", b"\0", b"\r\n", b"ab", b"--x"]))
def test_bodies_are_the_same_for_every_chunking(chunks: list[bytes], delimiter: bytes) -> None:
    descriptor = pipe_of(chunks)
    try:
        assert read_all(Lines([descriptor], delimiter)) == expected(b"".join(chunks), delimiter)
    finally:
        os.close(descriptor)


@given(chunks=st.lists(st.text("abx\r\n-", min_size=1, max_size=12).map(str.encode), max_size=12),
       delimiter=st.sampled_from([b"\n", b"\r\n", b"ab", b"--x"]), maximum=st.integers(0, 9))
def test_what_is_too_long_is_the_same_for_every_chunking_and_costs_no_neighbour(chunks: list[bytes], delimiter: bytes, maximum: int) -> None:
    descriptor = pipe_of(chunks)
    try:
        messages, refused = read_past_refusals(Lines([descriptor], delimiter, maximum=maximum))
    finally:
        os.close(descriptor)
    numbered = list(enumerate(expected(b"".join(chunks), delimiter), 1))
    assert messages == [(number, body) for number, body in numbered if len(body) <= maximum]
    assert refused == [number for number, body in numbered if len(body) > maximum]


@pytest.mark.parametrize("delimiter", [b"\n", b"\r\n", b"-----"])
def test_a_long_body_is_put_together_once_and_not_with_every_read(delimiter: bytes) -> None:
    reader, writer = os.pipe()
    lines, piece = Lines([reader], delimiter), b"x" * 1000
    for _ in range(50):
        os.write(writer, piece)
        assert lines.read(5) == []
    assert max(map(len, lines._pieces)) <= len(piece)
    os.write(writer, delimiter)
    os.close(writer)
    assert read_all(lines) == [piece * 50]
    os.close(reader)


@pytest.mark.parametrize(("data", "bodies"), [
    (b"a\nb", [b"a", b"b"]),
    (b"a\n\nb\n", [b"a", b"", b"b"]),
    (b"a\r\nb\r\n", [b"a\r", b"b\r"]),
    (b"", []),
    (b"\n", [b""]),
    (b"\xff\x00\n", [b"\xff\x00"]),
])
def test_the_last_line_counts_empty_lines_are_messages_and_bytes_are_kept(data: bytes, bodies: list[bytes]) -> None:
    descriptor = pipe_of([data] if data else [])
    assert read_all(Lines([descriptor])) == bodies
    os.close(descriptor)


def test_a_writer_that_stalls_does_not_hold_back_what_it_wrote() -> None:
    reader, writer = os.pipe()
    lines = Lines([reader])
    os.write(writer, b"one\ntwo\nthr")
    assert lines.read(1) == [b"one", b"two"]
    assert lines.read(0.01) == []
    os.write(writer, b"ee\n")
    assert lines.read(1) == [b"three"]
    os.close(writer)
    assert lines.read(1) is None
    os.close(reader)


def test_a_line_over_the_maximum_is_refused_by_number_and_the_next_ones_are_read() -> None:
    descriptor = pipe_of([b"small\n" + b"x" * 700_000, b"x" * 700_000, b"\nafter\n"])
    lines = Lines([descriptor], maximum=300_000)
    assert lines.read(5) == [b"small"]
    bodies, refused = read_past_refusals(lines)
    assert refused == [2]
    assert bodies == [(3, b"after")]
    assert lines.first == 3
    os.close(descriptor)


def test_files_are_read_in_order_and_a_line_does_not_cross_from_one_to_the_next(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"1\n2")
    (tmp_path / "b").write_bytes(b"3\n")
    assert read_all(Lines(open_files([str(tmp_path / "a"), str(tmp_path / "b")]))) == [b"1", b"2", b"3"]


def test_one_missing_file_among_several_is_said_before_any_is_read(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"1\n")
    with pytest.raises(UsageProblem, match=r"missing cannot be read: No such file or directory\. Nothing was sent"):
        open_files([str(tmp_path / "a"), str(tmp_path / "missing")])


def test_a_folder_is_no_input_wherever_it_is_given(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"1\n")
    with pytest.raises(UsageProblem, match="is a directory") as refused:
        open_files([str(tmp_path / "a"), str(tmp_path)])
    assert str(tmp_path / "*") in str(refused.value.hint)
    (descriptor,) = open_files([str(tmp_path / "a")])
    check_readable(descriptor)
    os.close(descriptor)
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(UsageProblem, match="Standard input is a directory"):
        check_readable(folder)
    os.close(folder)


def test_what_is_given_is_read_once() -> None:
    given = Given([Message(b"1"), Message(b"2")])
    assert (given.read(0), given.first, given.read(0)) == ([Message(b"1"), Message(b"2")], 1, None)


@pytest.mark.parametrize("sizes", [[10, 11], [300, 3], [11] * 3, [10] * 2])
def test_a_whole_file_over_the_maximum_is_refused_and_the_next_one_is_read(tmp_path, sizes: list[int]) -> None:
    for number, size in enumerate(sizes):
        (tmp_path / str(number)).write_bytes(b"x" * size)
    source = Whole(open_files([str(tmp_path / str(number)) for number in range(len(sizes))]), maximum=10)
    found: list[tuple[int, object]] = []
    while True:
        try:
            bodies = source.read(1)
        except InputRefused as problem:
            found.append((problem.number, str(problem)))
            continue
        if bodies is None:
            break
        found += [(source.first, len(body)) for body in bodies]
    assert found == [(number, size if size <= 10 else f"file {number} has {size} bytes; a body may have 10") for number, size in enumerate(sizes, 1)]


def test_whole_takes_each_file_as_one_body_an_empty_one_too(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"1\n2\n")
    (tmp_path / "b").write_bytes(b"")
    assert read_all(Whole(open_files([str(tmp_path / "a"), str(tmp_path / "b")]))) == [b"1\n2\n", b""]


def test_an_envelope_that_is_none_is_refused_by_its_line_and_its_neighbours_are_read() -> None:
    descriptor = pipe_of([b'{"body":"a"}\n\nnot json\n{"body":"b"}\n{"boddy":"c"}\n{"body":null}'])
    source = Envelopes(Lines([descriptor]))
    bodies: list[bytes | None] = []
    refused: list[str] = []
    firsts: list[int] = []
    while True:
        try:
            found = source.read(5)
        except InputRefused as problem:
            refused.append(str(problem))
            continue
        if found is None:
            break
        if found:
            firsts.append(source.first)
            bodies += [message.body for message in found]
    assert bodies == [b"a", b"b", None]
    assert firsts == [1, 4, 6]
    assert refused[0].startswith("line 3 is not JSON")
    assert refused[1] == "line 5 has the key 'boddy', which no envelope has; did you mean 'body'?"
    os.close(descriptor)


def test_every_second_line_may_be_no_envelope(tmp_path) -> None:
    (tmp_path / "mixed").write_bytes(b'{"body":"a"}\nnot json\n' * 2000)
    (descriptor,) = open_files([str(tmp_path / "mixed")])
    messages, refused = read_past_refusals(Envelopes(Lines([descriptor])))
    os.close(descriptor)
    assert [number for number, _ in messages] == list(range(1, 4000, 2))
    assert refused == list(range(2, 4001, 2))


def test_a_line_that_is_too_long_counts_where_lines_are_numbered(tmp_path) -> None:
    (tmp_path / "long").write_bytes(b'{"body":"a"}\n' + b"x" * 700_000 + b'\n{"body":"b"}\nnot json\n')
    (descriptor,) = open_files([str(tmp_path / "long")])
    messages, refused = read_past_refusals(Envelopes(Lines([descriptor], maximum=300_000)))
    os.close(descriptor)
    assert (messages, refused) == ([(1, b"a"), (3, b"b")], [2, 4])


def test_a_descriptor_may_have_any_number(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"1\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2048, hard) if hard != resource.RLIM_INFINITY else 2048, hard))
    (opened,) = open_files([str(tmp_path / "a")])
    try:
        high = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, 1024)
    finally:
        os.close(opened)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert read_all(Lines([high])) == [b"1"]
    os.close(high)
