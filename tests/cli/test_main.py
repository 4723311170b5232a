"""``overwinter``: exit codes, and errors that become words on standard error."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bundles import built, flipped, plans, sample
from forging import HEADER, file_of, prefix_of

from overwinter.cli.main import main
from overwinter.errors import BrokenRulesError
from overwinter.version import VERSION

COMMANDS = pytest.mark.parametrize("command", ["inspect", "verify"])
OVERWINTER = [sys.executable, "-m", "overwinter.cli.main"]


# --- exit codes -------------------------------------------------------------


@COMMANDS
def test_a_file_that_is_not_there_ends_with_3(put, capsys, command):
    """Nothing on standard output; one line says the path and what to do."""
    assert main([command, "missing.owb"]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "overwinter: missing.owb: no such file; check the path, "
        "or save a bundle there\n"
    )


@COMMANDS
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty, but a bundle starts with 89 4f 57 42"),
        (b"not a bundle at all", "starts with 6e 6f 74"),
        (sample()[:20], "prefix: found 20 bytes, expected 32 bytes"),
        (sample()[:200], "trailer: found none in 200 bytes"),
        (flipped(sample(), 9, 0), "prefix: found CRC-32"),
        (flipped(sample(), 40, 0), "header: found CRC-32"),
    ],
    ids=["empty", "foreign", "short", "cut", "prefix", "header"],
)
def test_what_is_no_bundle_any_more_ends_with_4(put, capsys, command, data, words):
    """Fetch it again: the same advice for all, and the reason for each."""
    assert main([command, put(data)]) == 4
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"overwinter: model.owb: {words}")


@COMMANDS
@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        (
            prefix_of(major=9, oldest_reader=9),
            "container version 9 .*upgrade overwinter",
        ),
        (prefix_of({**HEADER, "requires": ["warp"]}), "must know warp, which this rel"),
        (prefix_of({**HEADER, "digest": "blake9"}), "must know the digest blake9"),
    ],
    ids=["container", "feature", "digest"],
)
def test_what_was_written_for_later_readers_ends_with_5(
    put, capsys, command, prefix, words
):
    """The bytes are sound; this release is too old for them."""
    assert main([command, put(file_of(prefix=prefix))]) == 5
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.match(f"overwinter: model.owb: .*{words}", shown.err)


@COMMANDS
def test_a_file_that_may_not_be_read_ends_with_1(put, capsys, command):
    """It is there and nobody knows what it is: failed."""
    name = put(sample())
    Path(name).chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        code = main([command, str(Path(name).absolute())])
    finally:
        if root:
            os.seteuid(0)
    assert code == 1
    assert "could not open it: Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect"],
        ["verify", "a", "b"],
        ["inspect", "--no-such-option", "a"],
        ["no-such-command"],
        ["inspect", "."],
        ["verify", "."],
    ],
    ids=" ".join,
)
def test_a_mistake_in_the_arguments_ends_with_2(put, capsys, arguments):
    """With how the command is used, on standard error."""
    put(b"")
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Usage: overwinter" in shown.err
    assert "Error: " in shown.err


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["inspect", "-h"]])
def test_help_is_data(capsys, arguments):
    """It was asked for, so it goes to standard output."""
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("Usage: overwinter ")
    assert shown.err == ""


def test_the_version_is_that_of_the_release(capsys):
    """For bug reports."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"overwinter, version {VERSION}\n"


# --- words ------------------------------------------------------------------


def test_what_an_error_quotes_is_shown_and_not_obeyed(put, capsys):
    """A header may require a feature whose name clears the screen."""
    data = file_of(prefix=prefix_of({**HEADER, "requires": ["\x1b[2J\x1b[H"]}))
    assert main(["inspect", put(data)]) == 5
    shown = capsys.readouterr().err
    assert "must know \\x1b[2J\\x1b[H, which" in shown
    assert "\x1b" not in shown


def test_the_name_of_a_file_is_shown_and_not_obeyed(tmp_path, monkeypatch, capsys):
    """Not every name on a disk is a word."""
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"a\x1b[31m\n\xff.owb")
    assert main(["inspect", name]) == 3
    assert (
        "overwinter: a\\x1b[31m\\n\\udcff.owb: no such file" in capsys.readouterr().err
    )
    Path(name).write_bytes(sample())
    assert main(["verify", name]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("a\\x1b[31m\\n\\udcff.owb: sound")
    assert main(["inspect", "--json", name]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == name


def test_without_click_it_says_what_to_install(monkeypatch, capsys):
    """The library does not need it; the command does."""
    monkeypatch.setitem(sys.modules, "click", None)
    assert main(["inspect", "model.owb"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "overwinter: the command line needs click: pip install 'overwinter[cli]'\n"
    )


@pytest.fixture
def interruptible():
    """Have Ctrl-C heard: a job in the background of a script ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@COMMANDS
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_with_130(put, capsys, monkeypatch, command):
    """As a shell reports a process that SIGINT ended; no traceback."""

    class Interrupted:
        def __init__(self, file: str) -> None:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(f"overwinter.cli.{command}.Bundle", Interrupted)
    assert main([command, put(sample())]) == 130
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.strip() == "overwinter: interrupted"


# --- as a process -----------------------------------------------------------


def _large() -> bytes:
    """Return a bundle whose keys are more than a pipe holds."""
    return built(plans(*[(f"{number:060}", b"x") for number in range(5_000)]))


@pytest.mark.parametrize("options", [["--keys"], ["--json", "--keys"]], ids=" ".join)
def test_a_reader_that_goes_away_is_no_failure(put, options):
    """As in ``overwinter inspect --keys model.owb | head``."""
    process = subprocess.Popen(
        [*OVERWINTER, "inspect", *options, put(_large())],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), said) == (0, b"")


def test_a_reader_that_goes_away_does_not_change_the_verdict(put):
    """``overwinter verify model.owb | true`` still ends with 4 for a damaged one."""
    data = sample()
    name = put(flipped(data, data.index(b"second"), 0))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*OVERWINTER, "verify", name],
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert done.returncode == 4
    assert b"Traceback" not in done.stderr
    assert b"model.owb is damaged" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_result_that_cannot_be_written_ends_with_1(put):
    """A full disk behind a redirection: said in words."""
    name = put(sample())
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*OVERWINTER, "inspect", name],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert done.returncode == 1
    assert b"could not print the result: [Errno 28] No space left" in done.stderr
    assert b"Traceback" not in done.stderr


@COMMANDS
def test_no_framework_is_imported(put, command):
    """A bundle is read on machines where torch cannot even be installed."""
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from overwinter.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "assert sys.modules['torch'] is None\n"
        "assert 'numpy' not in sys.modules\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command, put(sample())],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "acme/plan" in done.stdout or "sound" in done.stdout


def test_the_command_is_installed(put):
    """Beside the interpreter, under the library's name."""
    script = Path(sys.executable).parent / "overwinter"
    if not script.exists():
        pytest.skip(f"no {script.name} beside this interpreter")
    done = subprocess.run(
        [script, "verify", put(sample())], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_of_few_characters_is_told_the_others(put):
    """A key may be any text, and a report of it must not end in a traceback."""
    group = plans(("schlüssel \u4e16", b"x"))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "overwinter.cli.main",
            "inspect",
            "--keys",
            put(built(group)),
        ],
        capture_output=True,
        encoding="latin-1",
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert r"schlüssel \u4e16" in done.stdout


def test_nothing_is_left_open(put, capsys, recwarn):
    """A file that stays open would warn, and warnings are errors here."""
    for command in ("inspect", "verify"):
        main([command, put(sample())])
        main([command, put(b"damaged")])
        main([command, put(sample()[:-1])])
    capsys.readouterr()
    assert not recwarn.list


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (4, 4)])
def test_what_a_command_returns_is_the_exit_code(monkeypatch, result, code):
    """And a command that returns nothing is done."""
    monkeypatch.setattr(
        "overwinter.cli.commands.overwinter.main", lambda **options: result
    )
    assert main([]) == code


def test_a_list_is_printed_line_by_line(monkeypatch, capsys):
    """An author reads it; nothing in it comes from a bundle."""

    def broken(*arguments, **options):
        raise BrokenRulesError("acme/plan", ("FIRST: a", "SECOND: b"))

    monkeypatch.setattr("overwinter.cli.commands.overwinter.main", broken)
    assert main([]) == 1
    told = capsys.readouterr().err
    assert "overwinter:   FIRST: a\noverwinter:   SECOND: b\n" in told


def test_warnings_are_words_too(monkeypatch, capsys):
    """As every line on standard error; afterwards the library logs as before."""
    log = logging.getLogger("overwinter")
    before = list(log.handlers)
    monkeypatch.setattr(
        "overwinter.cli.commands.overwinter.main",
        lambda **options: log.warning("two\nlines \x1b[2J"),
    )
    assert main([]) == 0
    told = capsys.readouterr().err
    assert told == "overwinter: two\noverwinter: lines \\x1b[2J\n"
    assert log.handlers == before


@pytest.mark.parametrize(
    "arguments, code", [(["inspect", "nope"], 3), (["bogus"], 2), (["diff"], 2)]
)
def test_words_that_cannot_be_printed_change_no_code(arguments, code):
    """A full disk under standard error is no failure of the command."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*OVERWINTER, *arguments],
            stderr=full,
            stdout=subprocess.DEVNULL,
            check=False,
        )
    assert done.returncode == code


def test_the_help_says_what_codes_mean(capsys):
    """Whoever writes a script looks there."""
    assert main(["--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    for each in ("0 done", "2 wrong usage", "3 not found", "4 damaged or not trusted"):
        assert each in words


@pytest.mark.parametrize("place", ["argument", "option", "value"])
def test_wrong_usage_shows_no_secret(capsys, place):
    """A key may be pasted where anything else belongs, and a log is kept."""
    secret = "overwinter-secret-key-ed25519:" + "A" * 43 + "="
    arguments = {
        "argument": [secret],
        "option": ["inspect", f"--{secret}"],
        "value": ["trust", "add", "ci:x", "--until", secret],
    }[place]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert "overwinter-secret-key-ed25519:…" in err
    assert "AAAA" not in err
