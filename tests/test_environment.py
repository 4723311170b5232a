"""Environments: what an artifact was compiled for, and whether it fits here."""

import json
import os
import platform
import subprocess
import sys
import sysconfig

import pytest

from overwinter import environment
from overwinter.environment import (
    CONTAINED,
    EXACT,
    EXACT_REQUIRED,
    Rule,
    capture,
    instruction_sets,
    misfit,
    unstated,
)
from overwinter.errors import StoreError

ONLY_LINUX = pytest.mark.skipif(
    not os.path.exists("/proc/cpuinfo"), reason="no /proc/cpuinfo here"
)


# --- misfit -----------------------------------------------------------------


def test_the_same_machine_fits():
    """Field by field, whatever the rule."""
    machine = {"os": "linux", "cpu_flags": ["avx", "sse"]}
    rules = {"os": EXACT_REQUIRED, "cpu_flags": CONTAINED}
    assert misfit(dict(machine), machine, rules) is None


def test_a_kind_without_rules_fits_everywhere():
    """Nothing of the machine matters to it, recorded or not."""
    assert misfit(None, {"os": "linux"}, {}) is None
    assert misfit({"os": "darwin"}, {"os": "linux"}, {}) is None


def test_an_exact_field_that_differs_is_named_with_both_values():
    """The report says what would have to change."""
    reason = str(misfit({"os": "darwin"}, {"os": "linux"}, {"os": EXACT}))
    assert reason == "os: made for darwin, here is linux"


def test_an_exact_field_that_the_machine_lacks_is_a_misfit():
    """Without torch here, what was made for a torch cannot be used here."""
    reason = str(misfit({"torch_version": "2.13.0"}, {}, {"torch_version": EXACT}))
    assert reason == "torch_version: made for 2.13.0, here is unknown"


def test_a_field_that_the_artifact_does_not_say_fits():
    """Unless the rule requires it: then what nobody said is equal to nothing."""
    assert misfit({}, {"os": "linux"}, {"os": EXACT}) is None
    assert misfit(None, {"os": "linux"}, {"os": EXACT}) is None
    words = (
        "os: not recorded with the artifact, so not safe here; save it again with an "
        "environment that says it: for torch's artifacts overwinter.torch.environment()"
    )
    for machine in ({"os": "linux"}, {"os": ""}, {}):
        assert str(misfit({}, machine, {"os": EXACT_REQUIRED})) == words
        assert str(misfit({"os": ""}, machine, {"os": EXACT_REQUIRED})) == words
        assert str(misfit(None, machine, {"os": EXACT_REQUIRED})) == words
    flags = {"cpu_flags": CONTAINED}
    for said in ({}, {"cpu_flags": []}, {"cpu_flags": ""}, {"cpu_flags": " "}):
        assert misfit(said, {"cpu_flags": ["avx"]}, flags) is not None
        assert unstated(said, flags) == ("cpu_flags",)


def test_a_contained_field_needs_every_entry_here():
    """More is fine; what is missing is listed, sorted, and nothing else."""
    rules = {"cpu_flags": CONTAINED}
    has = {"cpu_flags": ["avx", "avx2", "sse"]}
    assert misfit({"cpu_flags": ["avx"]}, has, rules) is None
    assert str(misfit({"cpu_flags": ["vaes", "avx", "amx"]}, has, rules)) == (
        "cpu_flags: needs amx vaes, which this machine lacks"
    )
    assert str(misfit({"cpu_flags": ["avx"]}, {}, rules)) == (
        "cpu_flags: needs avx, which this machine lacks"
    )


def test_a_contained_field_of_text_is_a_list_of_words():
    """And not a list of its characters."""
    rules = {"cpu_flags": CONTAINED}
    reason = str(
        misfit({"cpu_flags": "avx amx"}, {"cpu_flags": ["avx", "m", "x"]}, rules)
    )
    assert reason == "cpu_flags: needs amx, which this machine lacks"


def test_the_first_misfit_is_told():
    """In the order of the kind's rules."""
    artifact, machine = {"a": "1", "b": "1"}, {"a": "2", "b": "2"}
    assert str(misfit(artifact, machine, {"b": EXACT, "a": EXACT})) == (
        "b: made for 1, here is 2"
    )


def test_a_home_directory_is_not_shown(home):
    """Reports are pasted into issues; a user's name does not belong there."""
    reason = str(misfit({"p": f"{home}/venv"}, {"p": f"{home}/other"}, {"p": EXACT}))
    assert reason == "p: made for ~/venv, here is ~/other"


def test_a_rule_asks_for_equality_unless_told_otherwise():
    """The strict reading is the default; requiring is a second question."""
    assert Rule() == EXACT == Rule(contained=False, required=False)
    assert Rule(contained=True, required=True) == CONTAINED


# --- capture ----------------------------------------------------------------


def test_this_machine_is_described():
    """The fields that kinds compare, each with the value of this process."""
    found = capture()
    assert found["os"] == platform.system().lower()
    assert found["cpu_arch"] == platform.machine().lower()
    assert found["python_tag"] == sys.implementation.cache_tag
    assert found["python_prefix"] == sys.base_prefix
    assert found["python_include"] == sysconfig.get_path("include")
    assert set(found) <= {
        "cpu_arch",
        "cpu_flags",
        "cpu_model",
        "libc",
        "os",
        "python_include",
        "python_prefix",
        "python_tag",
    }


@ONLY_LINUX
def test_a_linux_machine_says_its_libc_and_instruction_sets():
    """Without these, no library would be safe to load here."""
    found = capture()
    assert found["libc"]
    assert found["cpu_flags"]


def test_a_description_is_sorted_and_free_of_what_is_unknown():
    """Equal machines give equal bytes, and an empty value would claim something."""
    found = capture({"a_field": "1", "zz": ["b", "a"]})
    assert list(found) == sorted(found)
    assert found["a_field"] == "1"
    assert all(found.values())
    flags = found.get("cpu_flags", [])
    assert flags == sorted(set(flags))


def test_a_framework_adds_its_own_fields():
    """They stand beside ours, and win where both say something."""
    assert capture({"torch_version": "2.13.0"})["torch_version"] == "2.13.0"
    assert capture({"os": "plan9"})["os"] == "plan9"
    assert capture()["os"] != "plan9"


def test_two_processes_describe_one_machine_alike():
    """Under different hash seeds: a set must not decide about an order."""
    code = "import json; from overwinter.environment import capture; print(json.dumps("
    code += "list(capture().items())))"
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert dict(json.loads(said[0])) == capture()


# --- instruction sets -------------------------------------------------------


def test_a_flag_that_nobody_has_seen_counts():
    """The error on that side is a cold start, and not a crash."""
    assert instruction_sets(["avx99_quantum", "sse"]) == ["avx99_quantum", "sse"]


@pytest.mark.parametrize(
    "flag",
    """
    hypervisor tsc_reliable nonstop_tsc_s3 constant_tsc arch_capabilities md_clear
    ibrs ibrs_enhanced ibpb stibp ssbd spec_ctrl virt_ssbd pti flush_l1d vmx svm ept
    svm_lock v_vmsave_vmload v_spec_ctrl avic x2avic pcid cpuid_fault pku umip smap
    cqm_occup_llc fpu_exception sev_snp amd_lbr_v2 hwp_epp dtherm erms fsrm lahf_lm
    """.split(),
)
def test_a_flag_of_the_kernel_or_of_a_mitigation_does_not_count(flag):
    """It comes and goes with the hypervisor and with updates, on one CPU."""
    assert instruction_sets([flag, "sse"]) == ["sse"]


@pytest.mark.parametrize(
    "flag",
    """
    mmx sse sse2 pni ssse3 sse4_1 sse4_2 sse4a avx avx2 fma fma4 f16c bmi1 bmi2 abm
    popcnt movbe aes vaes pclmulqdq vpclmulqdq gfni sha_ni adx rdrand rdseed rtm hle
    avx512f avx512dq avx512bw avx512vl avx512cd avx512ifma avx512vbmi avx512_vbmi2
    avx512_vnni avx512_bf16 avx512_fp16 avx512_bitalg avx512_vpopcntdq avx_vnni
    amx_tile amx_int8 amx_bf16 cx16 lm xsavec serialize movdiri neon asimd sve i8mm
    """.split(),
)
def test_an_instruction_set_counts(flag):
    """A compiler told ``-march=native`` may have used it."""
    assert instruction_sets([flag]) == [flag]


def test_the_kernels_names_are_matched_whole():
    """``ht`` is no instruction set, ``htx`` might be one."""
    assert instruction_sets(["ht", "htx", "xht"]) == ["htx", "xht"]


@ONLY_LINUX
def test_the_instruction_sets_of_this_machine_are_kept():
    """Whatever this CPU has of the vector instructions, the list has."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        words = set(file.read().split())
    vector = {"sse2", "avx", "avx2", "fma", "avx512f", "asimd", "sve"} & words
    found = set(capture()["cpu_flags"])
    assert vector <= found
    assert not {"hypervisor", "constant_tsc", "arch_capabilities"} & found


def _described(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(environment, "_cpuinfo", lambda: text)


X86 = """\
processor\t: {number}
model name\t: Imaginary CPU @ 3.00GHz
flags\t\t: {flags}
vmx flags\t: vnmi secret
bugs\t\t: spectre_v1
"""


def test_the_flags_of_a_machine_are_those_of_all_its_cpus(monkeypatch):
    """Code may be moved to another core at any time."""
    text = X86.format(number=0, flags="sse avx amx") + "\n"
    text += X86.format(number=1, flags="avx sse sve2")
    _described(monkeypatch, text)
    assert environment._cpu_flags() == ["avx", "sse"]
    assert environment._cpu_model() == "Imaginary CPU @ 3.00GHz"


def test_the_flags_of_an_arm_machine_are_called_features(monkeypatch):
    """The kernel has another word for them there."""
    _described(
        monkeypatch, "processor\t: 0\nFeatures\t: fp asimd sve\nCPU part\t: 0xd40\n"
    )
    assert environment._cpu_flags() == ["asimd", "fp", "sve"]


def test_the_flags_of_a_mac_come_from_sysctl(monkeypatch):
    """Those that are set to one, by the name behind their prefix."""
    shown = "hw.optional.arm.FEAT_DotProd: 1\nhw.optional.avx2_0: 1\n"
    shown += "hw.optional.arm.FEAT_SME: 0\nhw.optional.neon: 1\n"

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, shown, "")

    _described(monkeypatch, "")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", run)
    assert environment._cpu_flags() == ["avx2_0", "feat_dotprod", "neon"]


def test_a_machine_that_hides_its_flags_has_none_recorded(monkeypatch):
    """Then nothing native fits it, which is slow and safe."""

    def read_text(path: str) -> str:
        raise StoreError(path, "read it", "Permission denied")

    monkeypatch.setattr(environment, "read_text", read_text)
    assert environment._cpuinfo.__wrapped__() == ""
    _described(monkeypatch, "")
    monkeypatch.setattr(sys, "platform", "linux")
    assert environment._cpu_flags() == []
    assert "cpu_flags" not in environment._machine.__wrapped__()


# --- vectors ----------------------------------------------------------------

GRAPH = {"vector_isa": EXACT_REQUIRED}
WIDE = {
    "cpu_arch": "x86_64",
    "cpu_flags": ["avx2", "avx512bw", "avx512dq", "avx512f", "avx512vl"],
}


@pytest.mark.parametrize("environment", [None, {}, WIDE, {**WIDE, "vector_isa": ""}])
def test_vectors_that_nobody_recorded_fit_nowhere(environment):
    """ATEN_CPU_CAPABILITY makes a wide CPU's graphs narrow: no flag tells."""
    assert "vector_isa: not recorded" in str(misfit(environment, WIDE, GRAPH))
    here = {**WIDE, "vector_isa": "avx512"}
    assert "vector_isa: not recorded" in str(misfit(environment, here, GRAPH))
