"""
Environments: what an artifact was compiled for, and whether it fits this machine.

An environment is a flat record from field to text, or to a sorted list of texts.
Each kind names the fields that matter to it and how they are compared.

For compiled code this is safety, not tidiness: a C++ kernel is compiled with
``-march=native`` and its file name hashes those words, not the CPU, so a newer
CPU's kernel is found on an older one and dies there of an illegal instruction.
"""

import os
import platform
import re
import sys
import sysconfig
from collections.abc import Callable, Mapping
from functools import cache

import attrs

from .errors import StoreError
from .sources import read_text

__all__ = [
    "CONTAINED",
    "EXACT",
    "EXACT_REQUIRED",
    "Environment",
    "Machine",
    "Misfit",
    "Rule",
    "capture",
    "instruction_sets",
    "misfit",
    "unstated",
]

Environment = Mapping[str, str | list[str]]
# What an artifact was compiled for, to what it is to be held against here.
Machine = Callable[[Environment], Environment]


@attrs.frozen
class Rule:
    """
    How one field of an environment is compared.

    Args:
        contained: The machine must have every entry of the artifact's list;
            otherwise both must be the same.
        required: An artifact that does not say it is no fit, also where this
            machine does not know it either. For artifacts that hold code, what
            nobody recorded is unknown, and nothing is equal to it.
    """

    contained: bool = False
    required: bool = False


@attrs.frozen
class Misfit:
    """
    Why an artifact does not fit a machine.

    Args:
        field: The field of the environment that decides.
        reason: What it says of both, without the field.
        is_unknown: This machine does not know the field, so that the artifact may
            fit where somebody asks a framework; it is not used here.
    """

    field: str
    reason: str
    is_unknown: bool = False

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


EXACT = Rule()
EXACT_REQUIRED = Rule(required=True)
CONTAINED = Rule(contained=True, required=True)


def misfit(
    artifact: Environment | None, machine: Environment, rules: Mapping[str, Rule]
) -> Misfit | None:
    """
    Return why an artifact does not fit the machine, or ``None`` where it does.

    What is certain comes before what this machine does not know.

    Args:
        artifact: What it was compiled for; ``None`` where nobody said.
        machine: This machine, as `capture` describes it.
        rules: The fields that matter to the artifact's kind.
    """
    unknown = unstated(artifact, rules)
    artifact, unsure = artifact or {}, None
    for field, rule in rules.items():
        needs, has = artifact.get(field), machine.get(field)
        if field in unknown:
            return Misfit(
                field,
                "not recorded with the artifact, so not safe here; save it again with "
                "an environment that says it: for torch's artifacts "
                "overwinter.torch.environment()",
            )
        if needs is None:
            continue
        reason = ""
        if rule.contained:
            missing = sorted(_entries(needs) - _entries(has))
            if missing:
                reason = f"needs {' '.join(missing)}, which this machine lacks"
        elif needs != has:
            reason = f"made for {_shown(needs)}, here is {_shown(has)}"
        if not reason:
            continue
        if has:
            return Misfit(field, reason)
        unsure = unsure or Misfit(field, reason, is_unknown=True)
    return unsure


def unstated(
    artifact: Environment | None, rules: Mapping[str, Rule]
) -> tuple[str, ...]:
    """
    Return the required fields that an artifact does not say: it fits nowhere.

    An empty value says nothing: `capture` leaves out what it does not know.

    Args:
        artifact: What it was compiled for; ``None`` where nobody said.
        rules: The fields that matter to the artifact's kind.
    """
    stated = artifact or {}
    return tuple(
        field
        for field, rule in rules.items()
        if rule.required and not _entries(stated.get(field))
    )


def capture(extra: Mapping[str, str | list[str]] | None = None) -> Environment:
    """
    Return this machine's environment: interpreter, system and CPU.

    Args:
        extra: Fields that a framework adds, such as ``torch_version``.
    """
    return dict(sorted({**_machine(), **(extra or {})}.items()))


@cache
def _machine() -> dict[str, str | list[str]]:
    libc, libc_version = platform.libc_ver()
    found: dict[str, str | list[str]] = {
        "cpu_arch": platform.machine().lower(),
        "cpu_flags": instruction_sets(_cpu_flags()),
        "cpu_model": _cpu_model(),
        "libc": f"{libc} {libc_version}".strip(),
        "os": platform.system().lower(),
        "python_include": sysconfig.get_path("include"),
        "python_prefix": sys.base_prefix,
        "python_tag": sys.implementation.cache_tag or sys.implementation.name,
    }
    return {field: value for field, value in found.items() if value}


def instruction_sets(flags: list[str]) -> list[str]:
    """
    Return those of a CPU's *flags* that a compiler may have used, sorted.

    What is known to say something else (kernel, virtualisation, power, defects)
    is left out; a flag that nobody has seen yet counts as an instruction set,
    because the error on that side is a cold start and not a crash.
    """
    return sorted({flag for flag in flags if not _NO_INSTRUCTIONS.fullmatch(flag)})


# Of the x86 flags of /proc/cpuinfo: those that name no instructions which a
# compiler emits for code of a user. Source: arch/x86/include/asm/cpufeatures.h.
_NO_INSTRUCTIONS = re.compile(
    "|".join(
        """
        fpu_.* vme de pse pse36 tsc msr pae mce apic sep mtrr pge mca pat pn dts acpi
        ss ht tm tm2 ia64 pbe nx mp pdpe1gb up constant_tsc arch_perfmon pebs bts
        rep_good acc_power nopl xtopology tsc_reliable nonstop_tsc.* cpuid extd_apicid
        amd_dcm aperfmperf rapl tsc_known_freq ring3mwait cpuid_fault cpb epb cat_l[23]
        cdp_l[23] invpcid_single hw_pstate proc_feedback sme sev.* pti intel_ppin
        ssbd ibrs.* ibpb.* stibp.* ibrs_enhanced mba tpr_shadow flexpriority ept ept_ad
        vnmi vpid vmmcall vmx smx est cid xtpr pdcm pcid dca x2apic tsc_deadline_timer
        hypervisor osxsave monitor ds_cpl dtes64 sdbg lahf_lm cmp_legacy svm.* extapic
        cr8_legacy osvw ibs skinit wdt nodeid_msr topoext perfctr_.* bpext ptsc mwaitx
        fsgsbase tsc_adjust smep smap erms fsrm invpcid cqm.* rdt_a intel_pt umip pku
        ospke la57 user_shstk user_ibt shstk ibt fred lam lkgs arat dtherm ida pln pts
        hwp.* hfi decodeassists pausefilter pfthreshold avic v_.*vmload.* vgif
        tsc_scale vmcb_clean flushbyasid npt lbrv nrip_save overflow_recov succor
        smca md_clear flush_l1d arch_capabilities arch_lbr core_capabilities
        split_lock_detect bus_lock_detect tsx_.* rtm_always_abort spec_ctrl.*
        intel_stibp swapgs .*_bug debug_swap constant_.* art xsaves? amx_lbr
        virt_ssbd amd_.* cppc clzero irperf xsaveerptr hle_.* ibhf lbr.* pconfig
        x2avic v_spec_ctrl brs perfmon_v2 smba bmec fsrc fzrm tdx_guest
        """.split()
    )
)


def _cpu_flags() -> list[str]:
    """Return every flag that the system reports for the CPU."""
    text = _cpuinfo()
    # One logical CPU may lack what another has: keep what all of them share.
    found = re.findall(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    if found:
        return sorted(set.intersection(*(set(line.split()) for line in found)))
    if sys.platform == "darwin":
        return _darwin_flags()
    return []


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.*)$", _cpuinfo(), re.MULTILINE)
    return found[1].strip() if found else platform.processor()


@cache
def _cpuinfo() -> str:
    if sys.platform != "linux":
        return ""
    try:
        return read_text("/proc/cpuinfo")
    except StoreError:
        return ""


def _darwin_flags() -> list[str]:
    import subprocess  # 3 ms that only this system pays

    # `hw.optional.arm.FEAT_DotProd: 1`, or `hw.optional.avx2_0: 1` on Intel.
    shown = subprocess.run(
        ["/usr/sbin/sysctl", "hw.optional"], capture_output=True, text=True, check=False
    )
    return sorted(
        name.removeprefix("hw.optional.").removeprefix("arm.").lower()
        for name, _, value in (
            line.partition(": ") for line in shown.stdout.splitlines()
        )
        if value.strip() == "1"
    )


def _entries(value: str | list[str] | None) -> set[str]:
    return set(value.split() if isinstance(value, str) else value or ())


def _shown(value: str | list[str] | None) -> str:
    if not value:
        return "unknown"
    text = value if isinstance(value, str) else " ".join(value)
    home = os.path.expanduser("~")
    return text.replace(home, "~") if home != "/" else text
