"""
Whose files are: what other accounts could have written is not ours.
"""

import os
import stat
from functools import cache

__all__ = ["is_open_to_others"]


def is_open_to_others(mode: int, group: int) -> bool:
    """
    Return whether others than its owner may write a file or a folder.

    Where the umask is 002, as on Debian for users with a group of their own, every
    one is writable by its group: that is nobody else.

    Args:
        mode: Its permission bits.
        group: Its group.
    """
    if mode & stat.S_IWOTH:
        return True
    # Asking costs a look into a directory service, for each folder of a cache.
    return bool(mode & stat.S_IWGRP) and not _is_private(os.geteuid(), group)


@cache
def _is_private(user: int, group: int) -> bool:
    """Return whether nobody but *user* is in *group*, as far as the system lists."""
    import grp
    import pwd

    # By convention of containers, whatever the number of their user, it is in group 0.
    if group == 0:
        return False
    try:
        account, found = pwd.getpwuid(user), grp.getgrgid(group)
    except KeyError:
        return False
    return (
        account.pw_gid == group
        and found.gr_name == account.pw_name
        and not set(found.gr_mem) - {account.pw_name}
        # A group does not list those whose first group it is.
        and all(e.pw_gid != group or e.pw_uid == user for e in pwd.getpwall())
    )
