"""Units of lengths, areas and volumes."""

from __future__ import annotations

from groundplane.core.errors import InputError

__all__ = [
    "ON_FLOOR",
    "UNIT_NAMES",
    "UNIT_WORDS",
    "convert",
    "format_number",
    "power_of",
    "unit_of",
]

_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "ft": 0.3048, "in": 0.0254, "yd": 0.9144}
# What stands on the floor, or on a rug, has its lowest point no higher; metres.
ON_FLOOR = 0.05
# What is written without an exponent.
_POWERS = {"l": "dm3"}
_DECIMETRE = {"dm": 0.1}
UNIT_WORDS = {
    "m": "m", "cm": "cm", "mm": "mm", "ft": "feet", "in": "inches", "px": "pixels",
    "m2": "m²", "cm2": "cm²", "ft2": "square feet", "in2": "square inches", "px2": "square pixels",
    "yd": "yards", "m3": "m³", "cm3": "cm³", "l": "litres", "ft3": "cubic feet",
    "in3": "cubic inches", "times": "times", "%": "%", "px3": "cubic pixels",
    "map_unit": "map units", "map_unit2": "square map units", "map_unit3": "cubic map units",
}  # fmt: skip
# As people write them.
UNIT_NAMES = (
    "metres", "meters", "centimetres", "centimeters", "millimetres", "millimeters", "feet",
    "inches", "yards", "litres", "liters", "square metres", "square feet", "cubic metres",
    "cubic feet", "metre", "meter", "foot", "inch", "yard", "litre",
)  # fmt: skip


def power_of(measure: str) -> int:
    """1 for a length, 2 for an area, 3 for a volume.

    Examples:
        >>> power_of("height"), power_of("room_area"), power_of("volume")
        (1, 2, 3)
    """
    return {"room_area": 2, "floor_area": 2, "volume": 3}.get(measure, 1)


def unit_of(base: str, power: int) -> str:
    """The unit of a length, area or volume: `unit_of("m", 2)` is `m2`."""
    return base if power == 1 else f"{base}{power}"


def convert(value: float, source: str, target: str) -> float:
    """Convert between units of the same kind.

    Raises:
        InputError: If the units measure different things.

    Examples:
        >>> round(convert(1.0, "m2", "ft2"), 2)
        10.76
        >>> round(convert(1.0, "m3", "l"), 6)
        1000.0
    """
    if source == target:
        return value
    kinds = []
    for unit in (_POWERS.get(source, source), _POWERS.get(target, target)):
        power = int(unit[-1]) if unit.endswith(("2", "3")) else 1
        base = unit.rstrip("23") if power > 1 else unit
        metres = _METRES.get(base, _DECIMETRE.get(base))
        if metres is None:
            raise InputError(f"{source} cannot be given in {target}")
        kinds.append((power, metres**power))
    if kinds[0][0] != kinds[1][0]:
        raise InputError(f"{source} cannot be given in {target}")
    return value * kinds[0][1] / kinds[1][1]


def format_number(value: float, unit: str | None) -> str:
    """A number with its unit, to the digits that are worth reading.

    Examples:
        >>> format_number(2.3067, "m"), format_number(213.4, "cm"), format_number(3, "count")
        ('2.31 m', '213 cm', '3')
    """
    if unit in (None, "count"):
        return f"{value:g}"
    digits = {
        "cm": 0,
        "mm": 0,
        "px": 0,
        "px2": 0,
        "cm2": 0,
        "in2": 0,
        "m2": 1,
        "ft2": 0,
        "in": 1,
        "ft": 1,
        "l": 0,
        "%": 0,
        "cm3": 0,
        "in3": 0,
        "ft3": 1,
    }
    return f"{value:.{digits.get(unit, 2)}f} {UNIT_WORDS.get(unit, unit)}"
