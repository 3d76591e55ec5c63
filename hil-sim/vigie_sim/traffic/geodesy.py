"""Network metres to longitude and latitude, for the projections netconvert writes most (UTM on WGS84).

Source: Krüger's series as in Karney, "Transverse Mercator with an accuracy of a few nanometers" (2011),
to the third order: well below a millimetre inside a zone.
"""

import math
import re
from dataclasses import dataclass

_A = 6378137.0
_F = 1 / 298.257223563
_SCALE = 0.9996
_N = _F / (2 - _F)
_RADIUS = _A / (1 + _N) * (1 + _N**2 / 4 + _N**4 / 64)
_BETA = (
    _N / 2 - 2 * _N**2 / 3 + 37 * _N**3 / 96,
    _N**2 / 48 + _N**3 / 15,
    17 * _N**3 / 480,
)
_DELTA = (2 * _N - 2 * _N**2 / 3 - 2 * _N**3, 7 * _N**2 / 3 - 8 * _N**3 / 5, 56 * _N**3 / 15)


@dataclass(frozen=True, slots=True)
class Projection:
    """UTM zone of a network and the offset its coordinates were moved by."""

    zone: int
    south: bool
    offset: tuple[float, float]

    def lonlat(self, x: float, y: float) -> tuple[float, float]:
        """Degrees (longitude, latitude) of a place in network metres."""
        xi = (y - self.offset[1] - (10_000_000.0 if self.south else 0.0)) / (_SCALE * _RADIUS)
        eta = (x - self.offset[0] - 500_000.0) / (_SCALE * _RADIUS)
        xi_, eta_ = xi, eta
        for order, beta in enumerate(_BETA, start=1):
            xi_ -= beta * math.sin(2 * order * xi) * math.cosh(2 * order * eta)
            eta_ -= beta * math.cos(2 * order * xi) * math.sinh(2 * order * eta)
        chi = math.asin(math.sin(xi_) / math.cosh(eta_))
        latitude = chi + sum(delta * math.sin(2 * order * chi) for order, delta in enumerate(_DELTA, start=1))
        longitude = math.radians(self.zone * 6 - 183) + math.atan2(math.sinh(eta_), math.cos(xi_))
        return math.degrees(longitude), math.degrees(latitude)


def projection(parameter: str, offset: tuple[float, float]) -> Projection | None:
    """From a network's ``projParameter`` and ``netOffset``; None when it is not UTM on WGS84."""
    zone = re.search(r"\+zone=(\d+)", parameter)
    if "+proj=utm" not in parameter or zone is None:
        return None
    return Projection(int(zone.group(1)), "+south" in parameter, offset)
