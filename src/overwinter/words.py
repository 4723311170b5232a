"""
Words for people: what a bundle holds may be text that a terminal would obey.
"""

__all__ = ["printable"]


def printable(text: str) -> str:
    """Return *text* on one line, its control characters and the like written out."""
    if text.isprintable():  # a name may have a mebibyte, and each letter an object
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )
