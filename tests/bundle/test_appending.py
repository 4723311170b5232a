"""Appending loses nothing: not twice, not torn, not at once with another process."""

import io
import subprocess
import sys

import pytest
from bundles import (
    KEY,
    appended,
    built,
    delivered,
    environ_of_child,
    flipped,
    plans,
    regions,
    sample,
    tiles,
)

from overwinter.bundle import Bundle, append_segment, verify
from overwinter.errors import DamagedError, NoTrailerError, TooNewError
from overwinter.sources import BytesSource


def keys_of(data):
    """Return the keys of everything that is delivered, in order."""
    return [key for _, (_, key, _) in delivered(Bundle(data))]


def test_an_append_leaves_every_byte_where_it_was():
    """The old file is the beginning of the new one."""
    first = sample()
    second = appended(first, plans(("e", b"5")))
    third = appended(second, tiles(("f", b"6")), level=3)

    assert third.startswith(second)
    assert second.startswith(first)
    assert keys_of(third) == ["a", "b", "c", "d", "e", "f"]
    assert list(verify(Bundle(third))) == []


def test_a_segment_may_stand_in_a_bundle_twice():
    """What was written over, and is saved again, must come last."""
    records = plans(("e", b"5"))
    data = appended(sample(), records)
    twice = appended(appended(data, plans(("e", b"6"))), records)
    names = [segment.name for segment in Bundle(twice).segments]

    assert names[1] == names[3] != names[2]
    assert list(verify(Bundle(twice))) == []


def test_what_nobody_needs_is_not_appended():
    """Whoever appends says what is new, by the segments that are there."""
    data = sample()
    asked = []

    def new(entries, records):
        asked.append((entries, records))
        return []

    file = io.BytesIO(data)
    file.seek(0, io.SEEK_END)
    records = [plans(("e", b"5"))]
    source = BytesSource(data)
    assert append_segment(file, source, records, key=KEY, new=new) is None
    assert file.getvalue() == data
    assert asked == [(Bundle(data).trailer.segments, records)]


def test_a_bundle_of_many_appends_lists_each_of_them():
    """The trailer repeats the list; the order is that of the appends."""
    data = built(plans(("000", b"0")))
    for number in range(1, 40):
        data = appended(data, plans((f"{number:03d}", b"%d" % number)))

    assert keys_of(data) == [f"{number:03d}" for number in range(40)]
    assert list(verify(Bundle(data))) == []


@pytest.mark.parametrize("n_written", [1, 50, 300, 500, 560])
def test_a_torn_append_is_told_and_appended_behind(n_written):
    """The file reads as before, says so, and takes the next append."""
    data = sample()
    torn = appended(data, plans(("lost", b"torn away")))[: len(data) + n_written]
    bundle = Bundle(torn)

    assert f"{n_written} bytes behind it are an append that was torn" in bundle.recovery
    assert keys_of(torn) == ["a", "b", "c", "d"]

    mended = appended(torn, plans(("later", b"5")))
    assert mended.startswith(torn)
    assert Bundle(mended).recovery == ""
    assert keys_of(mended) == ["a", "b", "c", "d", "later"]

    again = appended(mended, plans(("lost", b"torn away")))
    assert keys_of(again) == ["a", "b", "c", "d", "later", "lost"]


def test_an_append_behind_a_damaged_copy_needs_no_mending():
    """One copy of the last trailer is enough to know what the next must list."""
    data = sample()
    for name in ("first copy", "second copy"):
        damaged = flipped(data, regions(data)[name].start + 20, 5)
        assert "nothing is lost" in Bundle(damaged).recovery
        assert keys_of(appended(damaged, plans(("e", b"5")))) == list("abcde")


def test_nothing_is_appended_to_what_is_no_bundle():
    """A file without header or trailer is left to whoever knows what it is."""
    data = sample()
    for damaged, error, words in (
        (data[:1000], NoTrailerError, "found none in 1,000 bytes"),
        (flipped(data, 40, 0), DamagedError, "header: found CRC-32"),
    ):
        file = io.BytesIO(damaged)
        with pytest.raises(error, match=words):
            append_segment(file, BytesSource(damaged), [plans(("e", b""))], key=KEY)
        assert file.getvalue() == damaged


def test_a_later_segment_stays_when_one_is_appended():
    """It is listed and carried, though nobody here can read it."""
    from forging import Forgery, file_of
    from test_later_versions import with_foot_version

    later = file_of(with_foot_version(Forgery().segment(), 2))
    bundle = Bundle(appended(later, plans(("e", b"5"))))

    assert [type(error) for _, error in bundle.refused] == [TooNewError]
    assert [segment.number for segment in bundle.segments] == [1]


APPENDER = """
import sys
from bundles import KEY, plans
from overwinter import files, sources
from overwinter.bundle import append_segment

path, name = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    with files.appending(path) as file:
        source = sources.FileSource(path)
        records = plans((f"{name}-{number:02d}", name.encode() * number))
        append_segment(file, source, [records], key=KEY)
        source.close()
"""


def test_two_processes_that_append_at_once_lose_nothing(tmp_path):
    """Forty appends by two processes are forty segments, each of them whole."""
    path = tmp_path / "bundle.owb"
    path.write_bytes(built(plans(("first", b""))))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(path), name],
            env=environ_of_child(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors

    with Bundle(path) as bundle:
        assert list(verify(bundle)) == []
        found = sorted(key for _, (_, key, _) in delivered(bundle))
    assert found == sorted(
        ["first", *(f"{name}-{n:02d}" for name in ("one", "two") for n in range(20))]
    )
