"""The kind of ``examples/acme_plans``, without installing its distribution."""

import importlib.util
import sys
from functools import cache
from pathlib import Path

from overwinter import CacheArtifact

EXAMPLE = Path(__file__).parent.parent / "examples" / "acme_plans"


@cache
def example_class() -> type[CacheArtifact]:
    """Return the example's class; its packages go by other names than their folders."""
    for package, folder in {
        "acme_plans_schema": "schema",
        "acme_plans_migrations": "migrations",
        "acme_plans": "acme_plans",
    }.items():
        path = EXAMPLE / folder
        spec = importlib.util.spec_from_file_location(
            package, path / "__init__.py", submodule_search_locations=[str(path)]
        )
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[package] = module
        spec.loader.exec_module(module)
    cls: type[CacheArtifact] = module.Plan
    return cls
