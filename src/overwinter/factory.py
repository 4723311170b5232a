"""
The factory: the registered kinds, and artifacts made by name.
"""

from typing import Any, ClassVar, TypeVar

from .artifact import CacheArtifact
from .kind import Kind
from .registry import Registry, installed

__all__ = ["CacheArtifactFactory"]

ArtifactClass = TypeVar("ArtifactClass", bound="type[CacheArtifact]")


class CacheArtifactFactory:
    """
    The registered kinds, and artifacts made by name.

    Source:
        ``torch.compiler._cache.CacheArtifactFactory``.
    """

    registry: ClassVar[Registry] = Registry(installed)

    @classmethod
    def register(cls, artifact_cls: ArtifactClass) -> ArtifactClass:
        """
        Register a kind; usable as a decorator.

        Raises:
            KindError: The name is taken by another class, or is a plain one.
            DriftError: The class is not what its schema file says.
            InvalidSchemaError: A schema file is missing or is none.
            MigrationError: A step is missing.
        """
        cls.registry.register(artifact_cls, artifact_cls.__module__.partition(".")[0])
        return artifact_cls

    @classmethod
    def discover(cls) -> None:
        """
        Register the kinds of the installed distributions, once in a process.

        Saving, loading and `create` call it; reading a bundle never does: what an
        untrusted file holds must not decide what is imported.
        """
        cls.registry.discover()

    @classmethod
    def kind(cls, name: str) -> Kind:
        """
        Return the registered kind of this name.

        Raises:
            KindError: There is none, or it is disabled, which it explains.
        """
        return cls.registry.kind(name)

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """Return the names of the registered kinds, sorted."""
        return cls.registry.names

    @classmethod
    def create(cls, artifact_type: str, key: str, content: bytes) -> CacheArtifact:
        """
        Return the artifact of a cache entry.

        Args:
            artifact_type: The kind.
            key: What the cache looks it up by.
            content: The entry's bytes, as the framework wrote them.

        Raises:
            KindError: The kind is not registered.
        """
        return cls._class_of(artifact_type).from_content(key, content)

    @classmethod
    def encode_create(cls, artifact_type: str, key: str, content: Any) -> CacheArtifact:
        """
        Return the artifact of a value that is not yet encoded.

        Raises:
            KindError: The kind is not registered.
            WrongShapeError: *content* is not what the kind's cache holds.
        """
        artifact_cls = cls._class_of(artifact_type)
        return artifact_cls.from_content(key, artifact_cls.encode(content))

    @classmethod
    def _class_of(cls, artifact_type: str) -> type[CacheArtifact]:
        if artifact_type not in cls.registry.names:
            cls.discover()
        return cls.kind(artifact_type).cls
