"""Numbers as people read them: few digits, units, nothing for nothing. Every function answers "-" for None."""

import math

NOTHING = "-"


def number(value: float | None, digits: int = 4) -> str:
    """Four significant digits; powers of ten where they are shorter."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 10**digits:
        places = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
        return f"{value:.{places}f}"
    if 10**digits <= abs(value) < 1e7:
        return f"{value:,.0f}"
    mantissa, _, exponent = f"{value:.{digits - 2}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def loss(value: float | None) -> str:
    """Nats per token, with four places: the last one is what runs differ in."""
    return number(value) if value is None or not math.isfinite(value) or abs(value) >= 100 else f"{value:.4f}"


def whole(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def short(value: float | None) -> str:
    """Three significant digits with k, M, G or T."""
    if value is None or not math.isfinite(value):
        return number(value)
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size * 0.9995:
            scaled = value / size
            places = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
            return f"{scaled:.{places}f}{unit}"
    return f"{value:.0f}" if float(value).is_integer() else number(value, 3)


def duration(seconds: float | None) -> str:
    """12 s, 3 m 05 s, 2 h 07 m, 3 d 04 h."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    left = max(round(seconds), 0)
    if left < 60:
        return f"{left} s"
    if left < 3600:
        return f"{left // 60} m {left % 60:02d} s"
    if left < 86_400:
        return f"{left // 3600} h {left % 3600 // 60:02d} m"
    return f"{left // 86_400} d {left % 86_400 // 3600:02d} h"


def age(seconds: float | None) -> str:
    """How long ago, in steps coarse enough that a screen at rest stays at rest."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 15:
        return "now"
    if seconds < 60:
        return f"{int(seconds) // 15 * 15} s ago"
    if seconds < 3600:
        return f"{int(seconds) // 60} m ago"
    if seconds < 86_400:
        return f"{int(seconds) // 3600} h ago"
    return f"{int(seconds) // 86_400} d ago"


def share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}" if math.isfinite(value) else number(value)
