"""
Vector instructions: those that Inductor writes C++ for in this process.
"""

import os

__all__ = ["is_sure", "vector_isa"]


def is_sure() -> bool:
    """Return whether `vector_isa` knows what the compiler can build."""
    from torch._inductor import cpu_vec_isa

    # Where it is no x86, nothing is built to find out.
    return (
        not cpu_vec_isa.x86_isa_checker()
        or cpu_vec_isa.valid_vec_isa_list.cache_info().currsize > 0
    )


def vector_isa(*, sure: bool = False) -> str:
    """
    Return the name of what ``pick_vec_isa`` picks in this process.

    It picks among what the compiler can build a library for, and building these takes
    seconds, unless the process has asked before. Until then it is taken that the
    compiler can.

    Args:
        sure: Ask the compiler, if nobody has.

    Source:
        ``torch._inductor.cpu_vec_isa`` of torch 2.13.
    """
    from torch._inductor import config, cpu_vec_isa

    if sure or is_sure():
        return _name(cpu_vec_isa.pick_vec_isa())
    has = cpu_vec_isa.x86_isa_checker()
    known = [
        each
        for each in cpu_vec_isa.supported_vec_isa_list
        if set(str(each).split()) <= set(has)
    ]
    none = cpu_vec_isa.invalid_vec_isa
    if (width := config.cpp.simdlen) is not None:
        return _name(next((each for each in known if each.bit_width() == width), none))
    capability = os.environ.get("ATEN_CPU_CAPABILITY")
    return _name(cpu_vec_isa.get_isa_from_cpu_capability(capability, known, none))


def _name(isa: object) -> str:
    name = str(isa)
    if name == "INVALID_VEC_ISA":
        return "none"
    # An ARM CPU's are called alike, whatever their width.
    width = getattr(isa, "bit_width", lambda: 0)()
    return f"{name} {width}" if name == "asimd" else name
