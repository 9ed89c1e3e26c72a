"""Text as a terminal can show it: nothing that it obeys, and what its encoding has.

A name may be a stranger's: what a terminal would obey is shown as an escape, which can be typed.
"""

import codecs
import os
import re
import unicodedata
from collections.abc import Mapping

from rede_p2p.content.safe_names import UNSEEN

NEAREST = "rede-nearest"  # the error handler of a terminal's stream: see ``encodable``
_CONTROL_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# Joiners between letters that are not ASCII, as in a family emoji or in Persian, and the tags after
# the black flag that make the flag of a region (UTS 51), and what makes an emoji of a sign. All
# that they change is the letters' look.
_JOINED = re.compile(
    "(?<=[^\0-\x7f])[\u200c\u200d](?=[^\0-\x7f])|(?<=\U0001f3f4)[\U000e0020-\U000e007f]+"
    "|(?<=[\xa9\xae\u203c-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff])[\ufe0e\ufe0f]"
    "|(?<=[0-9#*])\ufe0f(?=\u20e3)"
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")


def escape_controls(text: str) -> str:
    """Replace what a terminal obeys (escapes, bidirectional marks, line ends) by ``\\xNN``.

    So is what it does not show.
    """
    if text.isprintable() and (text.isascii() or not UNSEEN.search(text)):
        return text
    shown = {at for found in _JOINED.finditer(text) for at in range(*found.span())}
    return "".join(
        c.encode("unicode_escape").decode()
        if (unicodedata.category(c) in _CONTROL_CATEGORIES or UNSEEN.match(c)) and at not in shown
        else c
        for at, c in enumerate(text)
    )


def unescape_controls(line: str) -> str:
    """Undo ``escape_controls`` for what a name may have, so that a name can be typed as shown.

    No name has a backslash, so none is meant in another way.
    """

    def read(found: re.Match[str]) -> str:
        code = int(found[1] or found[2] or found[3], 16)
        char = chr(code) if code < 0x110000 else ""
        is_unseen = char and (unicodedata.category(char) in ("Cf", "Co") or UNSEEN.match(char))
        return char if is_unseen else found[0]

    return _ESCAPE.sub(read, line)


# What our own sentences have and an encoding may lack; all else is shown as an escape.
_NEAREST = {
    **dict(zip("áàâãéêíóôõúüçÁÀÂÃÉÊÍÓÔÕÚÜÇ", "aaaaeeiooouucAAAAEEIOOOUUC", strict=True)),
    **{"…": "...", "“": '"', "”": '"', "·": "-", "×": "x", "↓": "<", "↑": ">", "–": "-"},
    **{"━": "=", "º": "o"},
}


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    near = (_NEAREST.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking)
    return "".join(near), error.end


codecs.register_error(NEAREST, _replace)


def encodable(text: str, encoding: str) -> str:
    """Return a text with what an encoding lacks replaced: by the nearest of it, or by an escape."""
    return text.encode(encoding, NEAREST).decode(encoding)


def clean(text: str, encoding: str) -> str:
    """Return a text as a terminal of that encoding can show it, in which nothing is obeyed."""
    return encodable(escape_controls(text), encoding)


def draws_ascii(encoding: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a terminal may lack the signs of boxes and bars.

    In the locale C, Python speaks UTF-8 to a terminal that may not (PEP 538 and 540). The
    variable LC_CTYPE is then its own.
    """
    if not encoding.lower().startswith("utf"):
        return True
    kind = environment.get("LC_CTYPE", "")
    asked = [environment.get("LC_ALL"), "" if kind == "C.UTF-8" else kind, environment.get("LANG")]
    return next(filter(None, asked), "") in ("C", "POSIX")
