"""Sites and readings for the signal tests."""

from typing import Any

from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.words import Frame, SignalInputs, Status
from vigie_protocols.points import Quality, Reading, Value

CLOCK = Reading(1_750_000_000.0)


def one_ring(phases: int = 4, ped: bool = True) -> dict[str, Any]:
    """One ring, one barrier; every second phase with pedestrians; one overlap over the last two phases."""
    rows: list[dict[str, Any]] = [{"id": n, "min_green_s": 5 + n % 3} for n in range(1, phases + 1)]
    channels: list[dict[str, Any]] = [{"id": f"v{n}", "phases": [n]} for n in range(1, phases + 1)]
    detectors: list[dict[str, Any]] = [{"id": f"d{n}", "phases": [n]} for n in range(1, phases + 1)]
    conflicts = [[f"v{a}", f"v{b}"] for a in range(1, phases + 1) for b in range(a + 1, phases + 1)]
    for row in rows[::2] if ped else ():
        n = row["id"]
        row.update(walk_s=5, ped_clear_s=8)
        channels.append({"id": f"p{n}", "kind": "pedestrian", "phases": [n]})
        detectors.append({"id": f"b{n}", "kind": "button", "phases": [n]})
        conflicts += [[f"p{n}", f"v{m}"] for m in range(1, phases + 1) if m != n]
    if phases > 2:
        channels.append({"id": "ov", "phases": [phases - 1, phases]})
        conflicts += [["ov", f"v{m}"] for m in range(1, phases - 1)]
        conflicts += [["ov", f"p{m}"] for m in range(1, phases - 1) if ped and m % 2 == 1]
    return {"phases": rows, "channels": channels, "detectors": detectors, "conflicts": conflicts}


def dual_ring() -> dict[str, Any]:
    """Eight phases, two rings, two barriers, pedestrians on the through phases, two overlaps."""
    rows: list[dict[str, Any]] = []
    for n in range(1, 9):
        row: dict[str, Any] = {"id": n, "ring": 1 if n <= 4 else 2, "barrier": 1 if n in (1, 2, 5, 6) else 2}
        if n % 2 == 0:
            row.update(walk_s=5, ped_clear_s=9, min_green_s=8)
        rows.append(row)
    ring = {row["id"]: row["ring"] for row in rows}
    barrier = {row["id"]: row["barrier"] for row in rows}
    channels: list[dict[str, Any]] = [{"id": f"v{n}", "phases": [n]} for n in range(1, 9)]
    channels += [{"id": f"p{n}", "kind": "pedestrian", "phases": [n]} for n in (2, 4, 6, 8)]
    channels += [{"id": "oa", "phases": [1, 2]}, {"id": "ob", "phases": [2, 3]}]
    members = {c["id"]: c["phases"] for c in channels}

    def apart(p: int, q: int) -> bool:
        return p != q and (barrier[p] != barrier[q] or ring[p] == ring[q])

    names = list(members)
    conflicts = [
        [a, b]
        for k, a in enumerate(names)
        for b in names[k + 1 :]
        if all(apart(p, q) for p in members[a] for q in members[b])
    ]
    detectors: list[dict[str, Any]] = [{"id": f"d{n}", "phases": [n]} for n in range(1, 9)]
    detectors += [{"id": f"b{n}", "kind": "button", "phases": [n]} for n in (2, 4, 6, 8)]
    return {"phases": rows, "channels": channels, "detectors": detectors, "conflicts": conflicts}


def checked(raw: dict[str, Any]) -> SignalSite:
    return SignalSite.model_validate(raw)


def reading(value: Value, quality: Quality = Quality.GOOD) -> Reading[Value]:
    return Reading(value, quality)


def frame(detectors: list[Value], lamps: tuple[int, ...] = (), **more: Any) -> Frame:
    return Frame(tuple(map(reading, detectors)), tuple(map(reading, lamps)), **more)


def inputs(frame: Frame, status: Status) -> SignalInputs:
    return SignalInputs(CLOCK, False, frame, status)
