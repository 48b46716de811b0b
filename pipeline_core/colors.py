"""Colours as people write them."""

from __future__ import annotations

import math
import re
from typing import Any

# CSS Color Module Level 4, section 6.1, the sixteen basic names and a few that painters use.
NAMES = {
    "black": "000000", "silver": "c0c0c0", "gray": "808080", "grey": "808080", "white": "ffffff",
    "maroon": "800000", "red": "ff0000", "purple": "800080", "fuchsia": "ff00ff", "magenta": "ff00ff",
    "green": "008000", "lime": "00ff00", "olive": "808000", "yellow": "ffff00", "navy": "000080",
    "blue": "0000ff", "teal": "008080", "aqua": "00ffff", "cyan": "00ffff", "orange": "ffa500",
    "brown": "a52a2a", "pink": "ffc0cb", "gold": "ffd700", "indigo": "4b0082", "violet": "ee82ee",
    "tomato": "ff6347", "coral": "ff7f50", "salmon": "fa8072", "khaki": "f0e68c", "tan": "d2b48c",
    "beige": "f5f5dc", "ivory": "fffff0", "crimson": "dc143c", "skyblue": "87ceeb", "steelblue": "4682b4",
    "transparent": "00000000",
}  # fmt: skip
_HEX = re.compile(r"#?([0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})\Z")


def parse_color(value: Any) -> tuple[float, float, float, float]:
    """(r, g, b, a) from `#rgb`, `#rgba`, `#rrggbb`, `#rrggbbaa`, a name, or 1, 3 or 4 numbers.

    Hexadecimal digits are taken as n/255; one number is a grey; alpha is 1 unless given.
    """
    if isinstance(value, str):
        digits = NAMES.get(value.lower()) or (match.group(1) if (match := _HEX.match(value)) else None)
        if digits is None:
            raise ValueError(f"must be a colour like #ff8000, #ff800080, orange or [1, 0.5, 0] (got {value})")
        if len(digits) < 6:
            digits = "".join(digit * 2 for digit in digits)
        numbers = [int(digits[i : i + 2], 16) / 255 for i in range(0, len(digits), 2)]
    else:
        given = [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else value
        if not isinstance(given, (list, tuple)) or len(given) not in (1, 3, 4):
            raise ValueError(f"must be a colour like #ff8000, orange or [1, 0.5, 0] (got {value!r})")
        if any(isinstance(n, bool) or not isinstance(n, (int, float)) for n in given):
            raise ValueError(f"a colour's parts must be numbers (got {value!r})")
        numbers = [float(n) for n in given]
        if not all(math.isfinite(n) for n in numbers):
            raise ValueError(f"a colour's parts must be finite (got {value!r})")
        numbers = numbers * 3 if len(numbers) == 1 else numbers
    red, green, blue, *alpha = numbers
    return red, green, blue, alpha[0] if alpha else 1.0
