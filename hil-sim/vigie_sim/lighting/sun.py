"""Where the sun stands and how much daylight that gives.

The simulator's own copy of the sun: it must not share an error with the controllers it tests.
"""

import math
from itertools import pairwise

JULIAN_UNIX_EPOCH = 2440587.5
JULIAN_2000 = 2451545.0

DAYLIGHT: tuple[tuple[float, float], ...] = (
    (-18.0, 6.51e-4),
    (-12.0, 8.31e-3),
    (-6.0, 3.40),
    (-0.8, 453.0),
    (0.0, 732.0),
    (5.0, 4760.0),
    (10.0, 10900.0),
    (20.0, 27300.0),
    (40.0, 67000.0),
    (90.0, 129000.0),
)
"""Elevation in degrees -> lux on the ground under a clear sky (rounded, after the Explanatory Supplement to
the Astronomical Almanac); between them the logarithm is taken as straight."""


def solar_elevation(utc: float, latitude: float, longitude: float) -> float:
    """Elevation of the sun's centre in degrees, without refraction, at UTC seconds since 1970.

    NOAA's solar calculator (after Meeus), good to about 0.013 degrees near the horizon. Degrees north and
    east positive.
    """
    century = (utc / 86400.0 + JULIAN_UNIX_EPOCH - JULIAN_2000) / 36525.0
    mean_longitude = math.radians((280.46646 + century * (36000.76983 + 0.0003032 * century)) % 360.0)
    anomaly = math.radians(357.52911 + century * (35999.05029 - 0.0001537 * century))
    eccentricity = 0.016708634 - century * (0.000042037 + 0.0000001267 * century)
    centre = (
        math.sin(anomaly) * (1.914602 - century * (0.004817 + 0.000014 * century))
        + math.sin(2.0 * anomaly) * (0.019993 - 0.000101 * century)
        + math.sin(3.0 * anomaly) * 0.000289
    )
    node = math.radians(125.04 - 1934.136 * century)
    apparent = mean_longitude + math.radians(centre - 0.00569 - 0.00478 * math.sin(node))
    obliquity = math.radians(
        23.0
        + (26.0 + (21.448 - century * (46.815 + century * (0.00059 - 0.001813 * century))) / 60.0) / 60.0
        + 0.00256 * math.cos(node)
    )
    declination = math.asin(math.sin(obliquity) * math.sin(apparent))
    y = math.tan(obliquity / 2.0) ** 2
    equation_minutes = 4.0 * math.degrees(
        y * math.sin(2.0 * mean_longitude)
        - 2.0 * eccentricity * math.sin(anomaly)
        + 4.0 * eccentricity * y * math.sin(anomaly) * math.cos(2.0 * mean_longitude)
        - 0.5 * y * y * math.sin(4.0 * mean_longitude)
        - 1.25 * eccentricity * eccentricity * math.sin(2.0 * anomaly)
    )
    solar_minutes = (utc % 86400.0) / 60.0 + equation_minutes + 4.0 * longitude
    hour_angle = math.radians(solar_minutes / 4.0 - 180.0)
    north = math.radians(latitude)
    sine = math.sin(north) * math.sin(declination) + math.cos(north) * math.cos(declination) * math.cos(
        hour_angle
    )
    return math.degrees(math.asin(min(1.0, max(-1.0, sine))))


def daylight_lux(elevation: float) -> float:
    """Clear-sky daylight on the ground in lux for an elevation in degrees."""
    if elevation <= DAYLIGHT[0][0]:
        return DAYLIGHT[0][1]
    for (low, dim), (high, bright) in pairwise(DAYLIGHT):
        if elevation <= high:
            share = (elevation - low) / (high - low)
            return math.exp(math.log(dim) + share * (math.log(bright) - math.log(dim)))
    return DAYLIGHT[-1][1]
