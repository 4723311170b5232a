"""
Objects: a bundle behind a URL, such as ``s3://bucket/model.owb``, read by ranges.

What speaks to stores is obstore, of the extra ``object``. An object is read, never
written: its store has no append, and a fleet that wrote it back would do so at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from .errors import ChangedError, NotFoundError, StoreError
from .limits import MAX_OBJECT
from .words import printable

__all__ = ["ObjectSource"]

_NO_RANGE = "416 Range Not Satisfiable"
# Its default tries for minutes, and a job waits for its caches.
_RETRIES: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}


class ObjectSource:
    """
    An object of a store as a source of a bundle.

    Args:
        url: Its URL; where the store is and how to enter it, such as
            ``AWS_ENDPOINT_URL``, is said by the variables of the store's own tools.

    Attributes:
        name: The URL.

    Raises:
        StoreError: It names no object, or obstore is not installed.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self.name = f"{parts.scheme}://{host}{parts.path}"
        folder, _, self._key = parts.path.rpartition("/")
        action = "open it"
        if parts.scheme == "file":
            raise StoreError(self.name, action, "a file is named by its path")
        if parts.netloc != host:
            raise StoreError(
                self.name,
                action,
                "who enters is said by the variables of the store's tools, not here",
            )
        if not self._key or parts.query or parts.fragment:
            raise StoreError(
                self.name, action, "expected a URL that ends with an object's name"
            )
        try:
            import obstore
        except ImportError as error:
            needed = "needs obstore: pip install 'overwinter[object]'"
            raise StoreError(self.name, action, needed) from error
        self._obstore = obstore
        self._whole, self._tag = b"", ""
        self.size = 0
        options: Any = {"allow_http": True} if parts.scheme == "http" else None
        with self._told(action):
            self._store = obstore.store.from_url(
                f"{parts.scheme}://{host}{folder}",
                client_options=options,
                retry_config=_RETRIES,
            )

    def read(self, offset: int, size: int) -> bytes:
        """
        Return *size* bytes from *offset*.

        Raises:
            ChangedError: Somebody put another object there since the first read.
            NotFoundError: There is none.
            StoreError: It cannot be read; or its server, which gives all or nothing,
                has more than is held in memory.
        """
        if not self._whole:
            with self._told(f"read {size:,} bytes at {offset:,}"):
                try:
                    return self._answered(size, range=(offset, offset + size))
                except self._obstore.exceptions.NotSupportedError:
                    # A plain web server.
                    self._whole = self._answered(MAX_OBJECT)
                except self._obstore.exceptions.GenericError as error:
                    # Of an object without bytes no range can be asked.
                    if _NO_RANGE not in str(error):
                        raise
                    self._whole = self._answered(MAX_OBJECT)
        return self._whole[offset : offset + size]

    def _answered(self, most: int, **wanted: Any) -> bytes:
        if self._tag and wanted:
            wanted["if_match"] = self._tag
        options: Any = wanted
        answer = self._obstore.get(self._store, self._key, options=options)
        self.size, self._tag = answer.meta["size"], answer.meta["e_tag"] or ""
        if not wanted and self.size > most:
            raise ValueError(f"expected {most:,} bytes at most, it has {self.size:,}")
        # What a server claims is not allocated before it has come.
        chunks, total = [], 0
        for chunk in answer.stream():
            total += len(chunk)
            if total > most:
                raise ValueError(f"expected {most:,} bytes, got more")
            chunks.append(bytes(chunk))
        return b"".join(chunks)

    @contextmanager
    def _told(self, action: str) -> Iterator[None]:
        # The errors of obstore have the server's words in them, so they stay here.
        try:
            yield
        except self._obstore.exceptions.PreconditionError:
            raise ChangedError(self.name) from None
        except FileNotFoundError:
            raise NotFoundError(self.name, action, "no such object") from None
        except Exception as error:
            words = printable(str(error).partition("\n")[0])
            raise StoreError(self.name, action, f"{words:.200}") from None
