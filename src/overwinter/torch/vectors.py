"""
Vector instructions: those that Inductor writes C++ for in this process.
"""

import os

__all__ = ["vector_isa"]


def vector_isa() -> str:
    """
    Return the name of what ``pick_vec_isa`` picks in this process.

    It picks among what the compiler can build a library for, and building these takes
    seconds, unless the process has asked before. Until then it is taken that the
    compiler can. Where it is older than the CPU, the graphs that were saved here are
    skipped, and it starts cold: a bundle must not decide that a compiler runs.

    Source:
        ``torch._inductor.cpu_vec_isa`` of torch 2.13.
    """
    from torch._inductor import cpu_vec_isa

    has = cpu_vec_isa.x86_isa_checker()
    # Where it is no x86, nothing is built to find out.
    if not has or cpu_vec_isa.valid_vec_isa_list.cache_info().currsize:
        return _name(cpu_vec_isa.pick_vec_isa())
    known = [
        each
        for each in cpu_vec_isa.supported_vec_isa_list
        if set(str(each).split()) <= set(has)
    ]
    return _name(
        cpu_vec_isa.get_isa_from_cpu_capability(
            os.environ.get("ATEN_CPU_CAPABILITY"), known, cpu_vec_isa.invalid_vec_isa
        )
    )


def _name(isa: object) -> str:
    name = str(isa)
    if name == "INVALID_VEC_ISA":
        return "none"
    # An ARM CPU's are called alike, whatever their width.
    width = getattr(isa, "bit_width", lambda: 0)()
    return f"{name} {width}" if name == "asimd" else name
