"""Packages live in three top-level folders; pyproject.toml cannot find them all."""

from setuptools import find_packages, setup

ROOTS = {
    "overwinter": "src/overwinter",
    "overwinter_schema": "schema",
    "overwinter_migrations": "migrations",
}

setup(
    package_dir=ROOTS,
    packages=[
        package
        for name, folder in ROOTS.items()
        for package in (name, *(f"{name}.{sub}" for sub in find_packages(folder)))
    ],
    package_data={
        "overwinter": ["py.typed"],
        "overwinter_schema": ["RELEASED", "*.md", "*/HEAD", "*/*.json"],
    },
)
