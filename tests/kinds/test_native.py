"""Native artifacts: machine code, where silence about the machine is not safe."""

import pytest

from overwinter.environment import misfit
from overwinter.errors import KeyGrammarError
from overwinter.kinds import NativeArtifact

MACHINE = {
    "os": "linux",
    "cpu_arch": "x86_64",
    "cpu_flags": ["avx", "avx2", "sse2"],
    "libc": "glibc 2.36",
    "python_tag": "cpython-311",
    "torch_version": "2.13.0+cpu",
    "torch_prefix": "/opt/torch",
    "python_include": "/usr/include/python3.11",
}
RULES = NativeArtifact.environment_rules


@pytest.mark.parametrize(
    "key",
    [
        "torchinductor/2x/c2xx.main.so",
        "torchinductor/precompiled_headers/a+b=c@d%e,f~g-h.h.gch",
        "triton/" + "/".join("abcdefghijklmnop"),
        "torchinductor/" + "x" * 255,
    ],
)
def test_a_relative_path_in_a_named_cache_is_accepted(key):
    """What compilers and torch call their files, sixteen folders deep at most."""
    NativeArtifact.check_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "torchinductor",
        "torchinductor/",
        "torchinductor//x",
        "torchinductor/x/",
        "torchinductor/./x",
        "torchinductor/.hidden",
        "torchinductor/.overwinter-1/1",
        "Torchinductor/x",
        "3/x",
        "triton/" + "/".join("abcdefghijklmnopq"),
        "torchinductor/a b",
        "torchinductor/a:b",
        "torchinductor/é",
    ],
)
def test_another_path_is_refused(key):
    """No empty or hidden part: our own staging directory cannot be written to."""
    with pytest.raises(
        KeyGrammarError, match="is none of this kind's; expected a cache"
    ):
        NativeArtifact.check_key(key)


def test_the_name_of_the_cache_is_the_first_part():
    """One kind serves the cache directories of several frameworks."""
    entry = NativeArtifact("triton/0/abc/add.cubin", b"").cache_entry()
    assert (entry.cache, entry.path) == ("triton", "0/abc/add.cubin")


@pytest.mark.parametrize(
    ("mode", "shown"),
    [(0o755, 0o755), (0o644, 0o644), (0o4777, 0o755), (0o600, 0o600), (-1, 0o755)],
)
def test_a_file_gets_plain_permissions_only(mode, shown):
    """Nobody else may write a library that this user loads, and none is setuid."""
    assert NativeArtifact("a/b", b"", mode).cache_entry().mode == shown


def test_a_library_fits_the_machine_that_built_it():
    """And one that has more instruction sets."""
    assert misfit(MACHINE, MACHINE, RULES) is None
    more = {**MACHINE, "cpu_flags": ["amx_tile", "avx", "avx2", "sse2"]}
    assert misfit(MACHINE, more, RULES) is None


@pytest.mark.parametrize(
    "field", ["os", "cpu_arch", "cpu_flags", "python_tag", "torch_version"]
)
def test_a_library_that_does_not_say_what_it_needs_fits_nowhere(field):
    """For machine code silence is not safe, and an empty value says nothing."""
    silent = {name: value for name, value in MACHINE.items() if name != field}
    for said in (silent, {**silent, field: ""}, {**silent, field: []}):
        for machine in (MACHINE, said):
            reason = str(misfit(said, machine, RULES))
            assert reason.startswith(f"{field}: not recorded with the artifact, so not")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("os", "darwin"),
        ("cpu_arch", "aarch64"),
        ("libc", "glibc 2.31"),
        ("python_tag", "cpython-312"),
        ("torch_version", "2.12.0+cpu"),
        ("torch_prefix", "/elsewhere/torch"),
        ("python_include", "/elsewhere/include"),
    ],
)
def test_a_library_for_another_machine_does_not_fit(field, value):
    """The field that differs is named, with what was needed and what is here."""
    reason = str(misfit({**MACHINE, field: value}, MACHINE, RULES))
    assert reason == f"{field}: made for {value}, here is {MACHINE[field]}"


def test_a_library_for_a_newer_cpu_does_not_fit():
    """It would be found by its name, and die of an illegal instruction."""
    newer = {**MACHINE, "cpu_flags": ["avx", "avx512f", "amx_tile"]}
    assert str(misfit(newer, MACHINE, RULES)) == (
        "cpu_flags: needs amx_tile avx512f, which this machine lacks"
    )
