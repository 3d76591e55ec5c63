"""The figures of a traffic run, from SUMO's own trip records.

delay: mean over all loaded vehicles of timeLoss + departDelay, never-departed vehicles counted with their
departDelay up to the end. wait, time loss, travel time: means over inserted vehicles. No drain after the end.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TrafficFigures:
    """Outcome of one run; every time in seconds, means over vehicles."""

    loaded: int
    inserted: int
    arrived: int
    delay_s: float
    p95_delay_s: float
    time_loss_s: float
    depart_delay_s: float
    wait_s: float
    travel_s: float
    stops: float
    """Mean number of stops of an inserted vehicle."""
    walked: int
    """Pedestrians that finished or were under way."""
    pedestrian_loss_s: float
    """Mean time loss of a pedestrian."""
    teleports: int
    collisions: int
    emergency_brakings: int

    def as_dict(self) -> dict[str, float]:
        """Name -> figure."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


def percentile(values: list[float], share: float) -> float:
    """Linear between closest ranks, as numpy's default; 0.0 for no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def read_figures(tripinfo: Path, statistic: Path) -> TrafficFigures:
    """From ``--tripinfo-output`` (with unfinished and undeparted) and ``--statistic-output``."""
    delay: list[float] = []
    loss: list[float] = []
    depart: list[float] = []
    wait: list[float] = []
    travel: list[float] = []
    stops: list[float] = []
    walks: list[float] = []
    arrived = 0
    for _, row in ET.iterparse(tripinfo):
        if row.tag == "tripinfo":
            departed = float(row.attrib["depart"]) >= 0
            late = float(row.attrib["departDelay"])
            lost = float(row.attrib["timeLoss"]) if departed else 0.0
            depart.append(late)
            delay.append(late + lost)
            if departed:
                loss.append(lost)
                wait.append(float(row.attrib["waitingTime"]))
                travel.append(float(row.attrib["duration"]))
                stops.append(float(row.attrib["waitingCount"]))
                arrived += float(row.attrib["arrival"]) >= 0
            row.clear()
        elif row.tag == "personinfo":
            walks.append(sum(max(0.0, float(walk.get("timeLoss", "0"))) for walk in row.iter("walk")))
            row.clear()
    totals = ET.parse(statistic).getroot()

    def total(tag: str, name: str) -> int:
        element = totals.find(tag)
        return int(element.get(name, "0")) if element is not None else 0

    return TrafficFigures(
        loaded=len(delay),
        inserted=len(loss),
        arrived=arrived,
        delay_s=_mean(delay),
        p95_delay_s=percentile(delay, 0.95),
        time_loss_s=_mean(loss),
        depart_delay_s=_mean(depart),
        wait_s=_mean(wait),
        travel_s=_mean(travel),
        stops=_mean(stops),
        walked=len(walks),
        pedestrian_loss_s=_mean(walks),
        teleports=total("teleports", "total"),
        collisions=total("safety", "collisions"),
        emergency_brakings=total("safety", "emergencyBraking"),
    )
