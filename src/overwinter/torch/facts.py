"""
What this torch adds to the environment of its artifacts.
"""

import os

from ..environment import Environment, capture

__all__ = ["environment"]


def environment(*, compiler: bool = True) -> Environment:
    """
    Return this machine's environment with torch's facts in it.

    Args:
        compiler: Ask the C++ compiler for its version. No rule compares it, so
            a load need not start a process for it.
    """
    import torch
    from torch._inductor.codecache import torch_key

    facts: dict[str, str | list[str]] = {
        "torch_version": str(torch.__version__),
        "torch_prefix": os.path.dirname(os.path.abspath(torch.__file__)),
        "torch_key": torch_key().hex(),
    }
    if compiler and (version := _compiler_version()):
        facts["compiler"] = version
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        facts["device_name"] = torch.cuda.get_device_name()
        facts["device_capability"] = f"{major}.{minor}"
    if torch.version.cuda:
        facts["cuda_version"] = torch.version.cuda
    if torch.version.hip:
        facts["hip_version"] = torch.version.hip
    return capture(facts)


def _compiler_version() -> str:
    from torch._inductor.cpp_builder import get_compiler_version_info, get_cpp_compiler

    try:
        # Both are cached in torch: whoever compiled has asked already.
        text = get_compiler_version_info(get_cpp_compiler())
    except Exception:  # torch raises its own, of several modules, without compiler
        return ""
    lines = [
        line for line in text.replace(";", "\n").splitlines() if " version " in line
    ]
    return lines[0].strip() if lines else ""
