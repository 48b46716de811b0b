"""Blend functions B(b, s): the colour where an opaque source s lies on an opaque backdrop b.

Both are straight colours `(B, C, H, W)`, one plane (Y) or three (R, G, B); so is the result. Nobody writes into them.
Sources: W3C Compositing and Blending Level 1, section 10 ("W3C"), the same as ISO 32000-1 (PDF 1.7), 11.3.5; Khronos
GL_NV_blend_equation_advanced for linear, vivid and pin lights. What Photoshop does where these leave a case open is
said at the formula, found in its own renders.

The published formulas live in 0..1, and some hold their result there. Here they hold it between the smallest and the
largest of 0, 1, b and s: the same in 0..1, and light above 1 stays above 1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

from pipeline_compose.arrays import Array, namespace

Blend = Callable[[Array, Array], Array]

LUMA = (0.3, 0.59, 0.11)
"""The W3C's weights of R, G and B in its non-separable modes."""


# --- separable: each plane on its own -------------------------------------------------------------------------------


def _held(values: Array, b: Array, s: Array) -> Array:
    xp = namespace(b)
    return xp.minimum(xp.maximum(values, xp.minimum(b, s).clip(max=0)), xp.maximum(b, s).clip(min=1))


def _darken(b: Array, s: Array) -> Array:
    return namespace(b).minimum(b, s)


def _lighten(b: Array, s: Array) -> Array:
    return namespace(b).maximum(b, s)


def _screen(b: Array, s: Array) -> Array:
    return b + s - b * s


def _hard_light(b: Array, s: Array) -> Array:
    return namespace(b).where(s <= 0.5, b * (2 * s), _screen(b, 2 * s - 1))


def _color_dodge(b: Array, s: Array) -> Array:
    """b / (1 - s); black stays black, and a white source makes all else white."""
    xp, room = namespace(b), 1 - s
    quotient = xp.where(room > 0, b / room, xp.inf)
    return _held(xp.where(b == 0, 0.0, quotient), b, s)


def _color_burn(b: Array, s: Array) -> Array:
    """1 - (1 - b) / s; white stays white, and a black source makes all else black."""
    xp = namespace(b)
    quotient = xp.where(s > 0, (1 - b) / s, xp.inf)
    return _held(xp.where(b == 1, 1.0, 1 - quotient), b, s)


def _soft_light(b: Array, s: Array) -> Array:
    xp = namespace(b)
    lifted = xp.where(b <= 0.25, ((16 * b - 12) * b + 4) * b, xp.sqrt(b.clip(min=0)))
    return b + (2 * s - 1) * xp.where(s <= 0.5, b * (1 - b), lifted - b)


def _vivid_light(b: Array, s: Array) -> Array:
    """Burn with 2s below the middle, dodge with 2s - 1 above; Photoshop: s = 0 is black and s = 1 white on any b."""
    xp = namespace(b)
    lit = xp.where(s <= 0.5, _color_burn(b, 2 * s), _color_dodge(b, 2 * s - 1))
    return xp.where(s == 0, 0.0, xp.where(s == 1, 1.0, lit))


def _pin_light(b: Array, s: Array) -> Array:
    xp = namespace(b)
    return xp.where(s <= 0.5, xp.minimum(b, 2 * s), xp.maximum(b, 2 * s - 1))


def _hard_mix(b: Array, s: Array) -> Array:
    """0 or 1: whether b + s reaches 1; Photoshop: where it is 1 exactly, whether b is above the middle."""
    xp, beyond = namespace(b), b + s - 1
    exact = abs(beyond) < 1e-6  # 8-bit steps are 4e-3; their sums in float32 are off by 1e-7
    return xp.where(xp.where(exact, b > 0.5, beyond > 0), 1.0, xp.zeros_like(b))


def _divide(b: Array, s: Array) -> Array:
    """b / s; Photoshop: 0 / 0 is 0."""
    xp = namespace(b)
    quotient = xp.where(s > 0, b / s, xp.inf)
    return _held(xp.where(b == 0, 0.0, quotient), b, s)


# --- not separable: the planes of a colour together -----------------------------------------------------------------


def _planes(color: Array) -> list[Array]:
    return [color[:, i : i + 1] for i in range(color.shape[1])]


def _most(color: Array) -> Array:
    return reduce(namespace(color).maximum, _planes(color))


def _least(color: Array) -> Array:
    return reduce(namespace(color).minimum, _planes(color))


def _lum(color: Array) -> Array:
    planes = _planes(color)
    return sum(weight * plane for weight, plane in zip(LUMA, planes, strict=True)) if len(planes) > 1 else color


def _saturation(color: Array) -> Array:
    return _most(color) - _least(color)


def _with_saturation(color: Array, wanted: Array) -> Array:
    """W3C SetSat: the largest plane becomes `wanted`, the smallest 0, the middle one keeps its place between them."""
    least = _least(color)
    spread = _most(color) - least
    return (color - least) * namespace(color).where(spread > 0, wanted / spread, 0.0)


def _with_lum(color: Array, wanted: Array, b: Array, s: Array) -> Array:
    """W3C SetLum and ClipColor: moved to the luminosity `wanted`, drawn towards grey where it leaves the limits."""
    xp = namespace(b)
    moved = color + (wanted - _lum(color))
    low, high = _least(xp.minimum(b, s)).clip(max=0), _most(xp.maximum(b, s)).clip(min=1)
    least, most = _least(moved), _most(moved)
    shrink = xp.where(least < low, (wanted - low) / (wanted - least), 1.0)
    shrink = xp.where(most > high, shrink * (high - wanted) / (most - wanted), shrink)
    return wanted + (moved - wanted) * shrink


def _darker_color(b: Array, s: Array) -> Array:
    return namespace(b).where(_lum(s) < _lum(b), s, b)


def _lighter_color(b: Array, s: Array) -> Array:
    return namespace(b).where(_lum(s) > _lum(b), s, b)


SEPARABLE: dict[str, Blend] = {
    # W3C 10.1
    "multiply": lambda b, s: b * s,
    "screen": _screen,
    "overlay": lambda b, s: _hard_light(s, b),
    "darken": _darken,
    "lighten": _lighten,
    "color-dodge": _color_dodge,
    "color-burn": _color_burn,
    "hard-light": _hard_light,
    "soft-light": _soft_light,
    "difference": lambda b, s: abs(b - s),
    "exclusion": lambda b, s: b + s - 2 * b * s,
    # Photoshop
    "linear-burn": lambda b, s: _held(b + s - 1, b, s),
    "linear-dodge": lambda b, s: _held(b + s, b, s),
    "vivid-light": _vivid_light,
    "linear-light": lambda b, s: _held(b + 2 * s - 1, b, s),
    "pin-light": _pin_light,
    "hard-mix": _hard_mix,
    "subtract": lambda b, s: _held(b - s, b, s),
    "divide": _divide,
    # GIMP
    "grain-extract": lambda b, s: _held(b - s + 0.5, b, s),
    "grain-merge": lambda b, s: _held(b + s - 0.5, b, s),
}

NON_SEPARABLE: dict[str, Blend] = {
    # W3C 10.2
    "hue": lambda b, s: _with_lum(_with_saturation(s, _saturation(b)), _lum(b), b, s),
    "saturation": lambda b, s: _with_lum(_with_saturation(b, _saturation(s)), _lum(b), b, s),
    "color": lambda b, s: _with_lum(s, _lum(b), b, s),
    "luminosity": lambda b, s: _with_lum(b, _lum(s), b, s),
    # Photoshop
    "darker-color": _darker_color,
    "lighter-color": _lighter_color,
}
