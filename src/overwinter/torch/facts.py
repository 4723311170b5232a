"""
What this torch adds to the environment of its artifacts.
"""

import os
from contextlib import suppress

from ..environment import Environment, Machine, capture
from ..kinds.torchinductor import VECTORS
from .vectors import is_sure, vector_isa
from .versions import private_parts

__all__ = ["environment", "machine"]

Facts = dict[str, str | list[str]]


def environment(
    problems: list[str], *, compared: bool = False, sure: bool = False
) -> Environment:
    """
    Return this machine's environment with torch's facts in it.

    Nothing in it is of one rank of a job: all save equal artifacts once, and the
    index of a device is in torch's own keys.

    Args:
        problems: Takes a line for a fact that this torch does not give.
        compared: Only what some kind's rules compare. The rest costs a process or
            a device's start, which a load need not pay.
        sure: Ask the compiler for its vectors, if nobody has: takes seconds.
    """
    import torch

    facts: Facts = {
        "torch_version": str(torch.__version__),
        "torch_prefix": os.path.dirname(os.path.abspath(torch.__file__)),
        **_triton(),
    }
    with private_parts(
        problems, "ask for the hash of its sources", "no build's graphs are populated"
    ):
        from torch._inductor.codecache import torch_key

        facts["torch_key"] = torch_key().hex()
    with private_parts(problems, *_VECTORS_UNTOLD):
        facts[VECTORS] = vector_isa(sure=sure)
    if not compared:
        with private_parts(
            problems, "ask for compiler and device", "the bundle does not name them"
        ):
            facts |= _compiler()
            facts |= _device()
        with private_parts(
            problems,
            "ask for the hash of Triton's sources",
            "the bundle does not name it",
        ):
            facts |= _triton_key()
    return capture(facts)


def machine(problems: list[str], *, ask: bool = True) -> Machine:
    """
    Return what to hold artifacts against, given what they were compiled for.

    Torch's vectors are those of the CPU as far as the compiler can build for them. A
    compiler that has built for them, on the machine that saved, need not be asked
    again. Another is, for artifacts that would be used otherwise, which takes the
    seconds that the first graph for the CPU would take.

    Args:
        problems: Takes a line for a fact that this torch does not give.
        ask: Else what only the compiler could tell is unknown.
    """
    here = dict(environment(problems, compared=True))

    def held_against(stated: Environment) -> Environment:
        if VECTORS in here and here[VECTORS] == stated.get(VECTORS):
            taken = here.pop(VECTORS)
            with private_parts(problems, *_VECTORS_UNTOLD):
                other = not is_sure() and _is_other_compiler(stated)
                if other and not ask:
                    unsure = dict(here)
                    here[VECTORS] = taken
                    return unsure
                here[VECTORS] = vector_isa(sure=True) if other else taken
        return here

    return held_against


_VECTORS_UNTOLD = "ask for its vector instructions", "no graphs are populated"


def _is_other_compiler(stated: Environment) -> bool:
    here = _compiler()
    # Without one no graph for the CPU can be used, nor compiled.
    return bool(here) and here["compiler"] != stated.get("compiler")


def _compiler() -> Facts:
    from torch._inductor.cpp_builder import get_compiler_version_info, get_cpp_compiler

    try:
        # Both are cached in torch: whoever compiled has asked already.
        text = get_compiler_version_info(get_cpp_compiler())
    except RuntimeError:  # InvalidCxxCompiler: there is none, and nobody needed it
        return {}
    lines = text.split("_")  # torch puts it for each end of a line
    return next(
        ({"compiler": line.strip()} for line in lines if " version " in line), {}
    )


def _triton() -> Facts:
    from importlib.metadata import PackageNotFoundError, version

    for name in ("triton", "pytorch-triton", "pytorch-triton-rocm"):
        with suppress(PackageNotFoundError):
            return {"triton_version": version(name)}
    return {}


def _triton_key() -> Facts:
    """Return the hash of Triton's sources, which is part of its own keys too."""
    from torch._inductor import codecache

    ask = getattr(codecache, "triton_key", None)  # not of every torch
    key = ask() if ask else None  # nor has every torch a Triton
    return {"triton_key": key} if key else {}


def _device() -> Facts:
    import torch

    facts: Facts = {}
    if torch.version.cuda:
        facts["cuda_version"] = torch.version.cuda
    if torch.version.hip:
        facts["hip_version"] = torch.version.hip
    # Asking would start the device in a process that has not used it.
    if torch.cuda.is_initialized():
        major, minor = torch.cuda.get_device_capability()
        facts["device_name"] = torch.cuda.get_device_name()
        facts["device_capability"] = f"{major}.{minor}"
    return facts
