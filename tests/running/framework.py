"""
A framework with a cache: it makes what it does not find, and says what it did.

    python framework.py CACHE NAME... [then WHAT]
"""

import os
import signal
import sys
import time
from pathlib import Path

CONTENT = b"compiled, which took long " * 40


def use(cache: Path, name: str) -> str:
    """Return whether an entry was there; it is afterwards."""
    path = cache / name
    if path.exists():
        return "hit" if path.read_bytes() == CONTENT else "wrong"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CONTENT)
    return "miss"


if __name__ == "__main__":
    _, directory, *names = sys.argv
    then = ""
    if "then" in names:
        *names, _, then = names
    cache = Path(os.environ.get(directory, directory))
    print(*(f"{name}:{use(cache, name)}" for name in names), flush=True)
    match then:
        case "fail":
            sys.exit(7)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "wait":
            print("waiting", flush=True)
            time.sleep(60)
        case "vanish":
            import shutil

            shutil.rmtree(cache)
        case "link":
            (cache / "link").symlink_to("/etc/passwd")
            (cache / ".hidden").write_bytes(b"1")
            (cache / "x-atime").write_bytes(b"1")
            os.mkfifo(cache / "pipe")
