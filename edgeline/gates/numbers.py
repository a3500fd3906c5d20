"""The format of a value and its bound in a message."""

from decimal import Decimal

_MOST_DIGITS = 6  # float32 has no more


def format_with_bound(value: float, bound: float, digits: int = 3, unit: str = "") -> tuple[str, str]:
    """Formats both with as many digits as the bound has, or more where they would look the same.

    Args:
        value: The measured number.
        bound: The limit that it is compared with, as somebody wrote it.
        digits: The fewest digits after the point.
        unit: `%` shows shares in percent; empty shows the numbers as they are.
    """
    factor = 100 if unit else 1
    exponent = Decimal(f"{bound:.{_MOST_DIGITS}g}").normalize().as_tuple().exponent
    digits = max(digits, -exponent - len(str(factor)) + 1 if isinstance(exponent, int) else 0)
    value, bound = value * factor, bound * factor
    digits = min(digits, _MOST_DIGITS)
    if f"{value:.{_MOST_DIGITS}f}" != f"{bound:.{_MOST_DIGITS}f}":
        while f"{value:.{digits}f}" == f"{bound:.{digits}f}":
            digits += 1
    return f"{value:.{digits}f}{unit}", f"{bound:.{digits}f}{unit}"
