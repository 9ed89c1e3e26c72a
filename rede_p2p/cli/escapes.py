"""A stranger's text: what a terminal obeys is shown as an escape, and read back. No I/O."""

import re
import unicodedata

_CONTROL_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# Joiners between letters that are not ASCII, as in a family emoji or in Persian, and the tags after
# the black flag that make the flag of a region (UTS 51). All that they change is the letters' look.
_JOINED = re.compile(
    "(?<=[^\0-\x7f])[\u200c\u200d](?=[^\0-\x7f])|(?<=\U0001f3f4)[\U000e0020-\U000e007f]+"
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")


def escape_controls(text: str) -> str:
    """Replace what a terminal obeys (escapes, bidirectional marks, line ends) by ``\\xNN``."""
    if text.isprintable():
        return text
    shown = {at for found in _JOINED.finditer(text) for at in range(*found.span())}
    return "".join(
        c.encode("unicode_escape").decode()
        if unicodedata.category(c) in _CONTROL_CATEGORIES and at not in shown
        else c
        for at, c in enumerate(text)
    )


def unescape_controls(line: str) -> str:
    """Undo ``escape_controls`` for what a name may have, so that a name can be typed as shown.

    No name has a backslash, so none is meant in another way.
    """

    def read(found: re.Match[str]) -> str:
        code = int(found[1] or found[2] or found[3], 16)
        is_format = code < 0x110000 and unicodedata.category(chr(code)) in ("Cf", "Co")
        return chr(code) if is_format else found[0]

    return _ESCAPE.sub(read, line)
