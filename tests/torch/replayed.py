"""What a test has certified: the compile of `job`, as a function of a module."""

import job


def step() -> None:
    """Compile as the job does that saved the bundle."""
    job.compile_("")
