"""The toolchain: what runs of it are counted as, without any torch."""

import pytest

from overwinter.torch.toolchain import purpose

KERNEL = "g++ /c/xx/cxx.main.cpp -D X -O3 -march=native -o /c/xx/cxx.main.so"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (KERNEL, "compile"),
        (f"/usr/bin/{KERNEL}", "compile"),
        (f"/opt/x/bin/x86_64-linux-gnu-{KERNEL.replace('g++', 'g++-12')}", "compile"),
        (f"ccache {KERNEL}", "compile"),
        (f"nice -n 19 env A=b {KERNEL}", "compile"),
        ("clang++-17 -c a.cpp", "compile"),
        ("nvcc -ptx a.cu", "compile"),
        ("ptxas --gpu-name=sm_90 a.ptx -o a.cubin", "compile"),
        ("gcc a.c -shared -o a.so", "compile"),
        ("g++ -E -P a.h", "preprocess"),
        ("g++ -x c++-header a.h -o a.h.gch", "precompile header"),
        ("g++ a.o b.o -shared -o c.so", "link"),
        ("ld.lld a.o -o a.so", "link"),
        ("x86_64-linux-gnu-ld a.o", "link"),
        # Whatever `CXX` calls it.
        ("/opt/vendor/mycc a.cpp -o a.so", "compile"),
    ],
)
def test_a_run_of_a_compiler_is_a_step(command, expected):
    """By its own name, with what it compiles for, or behind what starts it."""
    assert purpose(command.split()) == expected


@pytest.mark.parametrize(
    "command",
    [
        "g++ --version",
        "g++ -v",
        "g++ -dumpmachine",
        "gcc -print-file-name=libgomp.so",
        "ld --version",
        "python train.py",
        "python -c pass",
        "cat a.cpp",
        "echo g++",
        "nvidia-smi",
        "env",
        "",
    ],
)
def test_another_command_is_no_step(command):
    """Asking a compiler for its version is none: a warm start does that too."""
    assert purpose(command.split()) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (KERNEL, "compile"),
        (f"cd /tmp && CCACHE=1 {KERNEL} 2>log", "compile"),
        (f"(true; {KERNEL})|cat", "compile"),
        ("g++ --version; g++ -E a.h", "preprocess"),
        ("echo 'g++ a.cpp -o a'", None),
        ("echo g++ && cat a.cpp", None),
        ("g++ 'a.cpp -o b", "compile"),
        ("", None),
    ],
)
def test_a_shell_is_looked_into(text, expected):
    """Each of its commands, not each of its words."""
    assert purpose(["/bin/sh", "-c", text]) == expected


def test_a_shell_with_a_script_is_not_looked_into():
    """What a script of a file starts, nobody hears of."""
    assert purpose(["sh", "build.sh"]) is None
