"""Units of lengths, areas and volumes."""

from __future__ import annotations

from groundplane.core.errors import InputError

__all__ = ["UNIT_WORDS", "convert", "power_of", "unit_of"]

_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "ft": 0.3048, "in": 0.0254}
UNIT_WORDS = {
    "m": "m", "cm": "cm", "mm": "mm", "ft": "feet", "in": "inches", "px": "pixels",
    "m2": "m²", "cm2": "cm²", "ft2": "square feet", "px2": "square pixels",
    "m3": "m³", "ft3": "cubic feet", "px3": "cubic pixels", "map_unit": "map units",
    "map_unit2": "square map units", "map_unit3": "cubic map units",
}  # fmt: skip


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
    """
    if source == target:
        return value
    kinds = []
    for unit in (source, target):
        power = int(unit[-1]) if unit[-1] in "23" else 1
        base = unit.rstrip("23") if power > 1 else unit
        if base not in _METRES:
            raise InputError(f"{source} cannot be given in {target}")
        kinds.append((power, _METRES[base] ** power))
    if kinds[0][0] != kinds[1][0]:
        raise InputError(f"{source} cannot be given in {target}")
    return value * kinds[0][1] / kinds[1][1]
