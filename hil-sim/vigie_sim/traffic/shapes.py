"""Junctions in the raw form of a gateway file's ``site``, small and large, for benches and tests."""

import random
from typing import Any


def every_conflict(rows: list[dict[str, Any]], channels: list[dict[str, Any]]) -> list[list[str]]:
    """The pairs of channels whose phases can never be on together by their rings and barriers."""
    of = {row["id"]: row for row in rows}

    def apart(p: int, q: int) -> bool:
        return p != q and (of[p]["barrier"] != of[q]["barrier"] or of[p]["ring"] == of[q]["ring"])

    return [
        [a["id"], b["id"]]
        for k, a in enumerate(channels)
        for b in channels[k + 1 :]
        if all(apart(p, q) for p in a["phases"] for q in b["phases"])
    ]


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
    channels: list[dict[str, Any]] = [{"id": f"v{n}", "phases": [n]} for n in range(1, 9)]
    channels += [{"id": f"p{n}", "kind": "pedestrian", "phases": [n]} for n in (2, 4, 6, 8)]
    channels += [{"id": "oa", "phases": [1, 2]}, {"id": "ob", "phases": [2, 3]}]
    conflicts = every_conflict(rows, channels)
    detectors: list[dict[str, Any]] = [{"id": f"d{n}", "phases": [n]} for n in range(1, 9)]
    detectors += [{"id": f"b{n}", "kind": "button", "phases": [n]} for n in (2, 4, 6, 8)]
    return {"phases": rows, "channels": channels, "detectors": detectors, "conflicts": conflicts}


def rings(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """These phases, a channel and a detector each, heads and buttons for those that walk, and every conflict."""
    of = {row["id"]: row for row in rows}
    channels: list[dict[str, Any]] = [{"id": f"v{n}", "phases": [n]} for n in of]
    detectors: list[dict[str, Any]] = [{"id": f"d{n}", "phases": [n]} for n in of]
    for n, row in of.items():
        if row.get("walk_s"):
            channels.append({"id": f"p{n}", "kind": "pedestrian", "phases": [n]})
            detectors.append({"id": f"b{n}", "kind": "button", "phases": [n]})
    conflicts = every_conflict(rows, channels)
    return {"phases": rows, "channels": channels, "detectors": detectors, "conflicts": conflicts}


def with_preemptions(raw: dict[str, Any], seed: int) -> dict[str, Any]:
    """The same junction with three pre-emptions drawn at random: rail, emergency linked to it, and another."""
    dice = random.Random(seed)
    rows = raw["phases"]

    def together() -> list[int]:
        """Phases of one barrier, one per ring at most."""
        barrier = dice.choice(rows).get("barrier", 1)
        by_ring: dict[int, list[int]] = {}
        for row in rows:
            if row.get("barrier", 1) == barrier:
                by_ring.setdefault(row.get("ring", 1), []).append(row["id"])
        chosen = [dice.choice(group) for group in by_ring.values()]
        return chosen if dice.random() < 0.7 else chosen[:1]

    def one(name: str, kind: str, **more: Any) -> dict[str, Any]:
        dwell = together()
        others = [row["id"] for row in rows if row["id"] not in dwell]
        cycling = dice.sample(others, min(len(others), dice.randrange(3)))
        walking = [row["id"] for row in rows if row.get("walk_s") and row["id"] in {*dwell, *cycling}]
        return {
            "id": name,
            "kind": kind,
            "calls_when": dice.random() < 0.5,
            "locking": dice.random() < 0.5,
            "delay_s": dice.choice([0.0, 3.0]),
            "min_duration_s": dice.choice([0.0, 15.0]),
            "entry_min_green_s": dice.choice([None, 2.0, 4.0]),
            "entry_walk_s": dice.choice([None, 0.0, 3.0]),
            "entry_ped_clear_s": dice.choice([None, 4.0]),
            "dwell_phases": dwell,
            "dwell_s": dice.choice([5.0, 9.0]),
            "cycling_phases": cycling,
            "peds": walking if dice.random() < 0.5 else [],
            "exit_phases": together() if dice.random() < 0.5 else [],
            "max_presence_s": dice.choice([0.0, 90.0]),
            **more,
        }

    tracks = {"track_phases": together(), "track_green_s": 7.0} if dice.random() < 0.8 else {}
    return {
        **raw,
        "preemptions": [
            one("rail", "rail", **tracks),
            one("fire", "emergency", link="rail" if dice.random() < 0.5 else None),
            one("plow", "other"),
        ],
    }
