"""
Objects: a bundle behind a URL, such as ``s3://bucket/model.owb``, read by ranges.

What speaks to stores is obstore, of the extra ``object``. An object is read, never
written: its store has no append, and a fleet that wrote it back would do so at once.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from .errors import ChangedError, NotFoundError, StoreError

__all__ = ["ObjectSource", "is_url"]

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.I)
_NO_RANGE = "416 Range Not Satisfiable"
# Its default tries for minutes, and a job waits for its caches.
_RETRIES: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}


def is_url(target: object) -> bool:
    """Return whether *target* is the URL of an object, and no path."""
    return isinstance(target, str) and _URL.match(target) is not None


class ObjectSource:
    """
    An object of a store as a source of a bundle.

    Args:
        url: Its URL; where the store is and how to enter it, such as
            ``AWS_ENDPOINT_URL``, is said by the variables of the store's own tools.

    Attributes:
        name: The URL, without who enters.

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
        if not self._key or parts.query or parts.fragment:
            raise StoreError(
                self.name, action, "expected a URL that ends with an object's name"
            )
        try:
            import obstore
        except ImportError as error:
            needed = "needs obstore: pip install 'overwinter[object]'"
            raise StoreError(self.name, action, needed) from error
        self._obstore, self._secret = obstore, parts.netloc.removesuffix(host)
        self._whole, self._tag = b"", ""
        self.size = 0
        options: Any = {"allow_http": True} if parts.scheme == "http" else None
        with self._told(action):
            self._store = obstore.store.from_url(
                f"{parts.scheme}://{parts.netloc}{folder}",
                client_options=options,
                retry_config=_RETRIES,
            )

    def read(self, offset: int, size: int) -> bytes:
        """
        Return *size* bytes from *offset*.

        Raises:
            ChangedError: Somebody put another object there since the first read.
            NotFoundError: There is none.
            StoreError: It cannot be read.
        """
        if not self._whole:
            wanted: Any = {"range": (offset, offset + size)}
            if self._tag:
                wanted["if_match"] = self._tag
            with self._told(f"read {size:,} bytes at {offset:,}"):
                try:
                    return self._answered(wanted)
                except self._obstore.exceptions.NotSupportedError:
                    # A plain web server, which gives all or nothing.
                    self._whole = self._answered(None)
                except self._obstore.exceptions.GenericError as error:
                    # Of an object without bytes no range can be asked.
                    if _NO_RANGE not in str(error):
                        raise
                    self._whole = self._answered(None)
        return self._whole[offset : offset + size]

    def _answered(self, wanted: Any) -> bytes:
        answer = self._obstore.get(self._store, self._key, options=wanted)
        self.size, self._tag = answer.meta["size"], answer.meta["e_tag"] or ""
        return bytes(answer.bytes())

    @contextmanager
    def _told(self, action: str) -> Iterator[None]:
        try:
            yield
        except self._obstore.exceptions.PreconditionError as error:
            raise ChangedError(self.name) from error
        except FileNotFoundError as error:
            raise NotFoundError(self.name, action, "no such object") from error
        except Exception as error:  # its own words, without those for who debugs it
            words = str(error).partition("\n")[0]
            if self._secret:
                words = words.replace(self._secret, "")
            raise StoreError(self.name, action, f"{words:.200}") from None
