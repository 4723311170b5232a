"""Files of other caches: any name that every system spells alike, and code inside."""

import pytest

from overwinter import load, save
from overwinter.environment import capture, misfit
from overwinter.errors import KeyGrammarError
from overwinter.kinds import FileArtifact

MACHINE = {
    "os": "linux",
    "cpu_arch": "x86_64",
    "cpu_flags": ["avx", "avx2", "sse2"],
    "libc": "glibc 2.36",
}
RULES = FileArtifact.environment_rules


@pytest.mark.parametrize(
    "key",
    [
        "jax/jit__lambda-0123456789abcdef-cache",
        "acme_2/plans/v1 (copy).bin",
        "acme/" + "/".join("abcdefghijklmnop"),
        "acme/" + "x" * 255,
        'acme/it\'s #1; $x & <y> | [z] {a} ~ `b` "c" ?*!',
    ],
)
def test_a_relative_path_in_a_named_cache_is_accepted(key):
    """Whatever a framework calls its files, sixteen folders deep at most."""
    FileArtifact.check_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "jax",
        "jax/",
        "jax//x",
        "jax/./x",
        "jax/.lockfile",
        "jax/x/.overwinter-1/1",
        "jax/ x",
        "jax/x ",
        "jax/x /y",
        "jax/a\\b",
        "jax/a\nb",
        "jax/é",
        "Jax/x",
        "/x",
        "acme/" + "x" * 256,
        "acme/" + "/".join("abcdefghijklmnopq"),
    ],
)
def test_another_path_is_refused(key):
    """None that leads elsewhere, is hidden, or is another on another system."""
    with pytest.raises(KeyGrammarError):
        FileArtifact.check_key(key)


@pytest.mark.parametrize(("mode", "shown"), [(0o644, 0o644), (0o4777, 0o755)])
def test_a_file_gets_plain_permissions_only(mode, shown):
    """Nobody else may write it, and none is setuid."""
    entry = FileArtifact("a/b c/d", b"", mode).cache_entry()
    assert (entry.cache, entry.path, entry.mode) == ("a", "b c/d", shown)


@pytest.mark.parametrize("field", ["os", "cpu_arch", "cpu_flags"])
def test_a_file_that_does_not_say_what_it_needs_fits_nowhere(field):
    """It may hold machine code, as a program of jax for a CPU does."""
    silent = {name: value for name, value in MACHINE.items() if name != field}
    assert "not recorded" in str(misfit(silent, MACHINE, RULES))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("os", "darwin"),
        ("cpu_arch", "aarch64"),
        ("libc", "glibc 2.31"),
        ("cpu_flags", ["avx512f"]),
    ],
)
def test_a_file_for_another_machine_does_not_fit(field, value):
    """The field is named."""
    assert str(misfit({**MACHINE, field: value}, MACHINE, RULES)).startswith(field)
    assert misfit(MACHINE, {**MACHINE, "python_tag": "other"}, RULES) is None


def test_a_program_of_jax_is_put_where_jax_looks(tmp_path, monkeypatch):
    """By `overwinter.load`, if a process has a cache of jax's; else it is said."""
    bundle = tmp_path / "model.owb"
    save(bundle, [FileArtifact("jax/jit_f-0-cache", b"xla")], environment=capture())
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    (note,) = load(bundle).failed
    assert "JAX_COMPILATION_CACHE_DIR names no directory" in note.reason
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "jax"))
    assert load(bundle).failed == []
    assert (tmp_path / "jax/jit_f-0-cache").read_bytes() == b"xla"
