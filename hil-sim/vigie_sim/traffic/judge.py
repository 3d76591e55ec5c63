"""A judge of lamp sequences, stricter than a conflict monitor: every time that a site declares is held.

It knows the raw site and what was shown, and shares no code with the guard.
"""

from collections.abc import Mapping, Sequence
from typing import Any

DARK, RED, YELLOW, GREEN, F_RED, F_YELLOW, F_GREEN = range(7)
GO = {YELLOW, GREEN, F_GREEN}
TOL = 1e-5


class Judge:
    """Watches the lamps of one junction. faults: what was unlawful; changes: lamp transitions seen."""

    def __init__(self, site: Mapping[str, Any]) -> None:
        phases = {p["id"]: p for p in site["phases"]}
        self.channels = [c["id"] for c in site["channels"]]
        self.ped = [c.get("kind") == "pedestrian" for c in site["channels"]]
        own = [[phases[n] for n in c["phases"]] for c in site["channels"]]

        def least(key: str, default: float) -> list[float]:
            return [min(p.get(key, default) for p in row) for row in own]

        def given(key: str, default: list[float]) -> list[float]:
            """A channel's own time where it has one."""
            return [default[k] if c.get(key) is None else c[key] for k, c in enumerate(site["channels"])]

        least_green = least("min_green_s", 5.0)
        self.min_green = list(map(max, least_green, given("min_green_s", least_green)))
        self.yellow = given("yellow_s", least("yellow_s", 3.0))
        self.clear = given("red_clear_s", least("red_clear_s", 2.0))
        self.revert = [max(p.get("red_revert_s", 2.0) for p in row) for row in own]
        self.walk = least("walk_s", 0.0)
        self.ped_clear = least("ped_clear_s", 0.0)
        # What a pre-emption may cut: no less than the least that any of them is allowed.
        entries = site.get("preemptions", ())

        def cut(own: list[float], key: str) -> list[float]:
            least = min((row[key] for row in entries if row.get(key) is not None), default=1e9)
            return [min(one, least) for one in own]

        self.cut_green = cut(self.min_green, "entry_min_green_s")
        self.cut_walk = cut(self.walk, "entry_walk_s")
        self.cut_clear = cut(self.ped_clear, "entry_ped_clear_s")
        self.preempted = False
        place = {name: k for k, name in enumerate(self.channels)}
        self.pairs = [(place[a], place[b]) for a, b in site.get("conflicts", ())]
        self.against: list[list[int]] = [[] for _ in self.channels]
        for a, b in self.pairs:
            self.against[a].append(b)
            self.against[b].append(a)
        self.all_red = site.get("startup", {}).get("all_red_s", 6.0)
        self.lamps: tuple[int, ...] | None = None
        self.since = [0.0] * len(self.channels)
        self.ended = [-1e9] * len(self.channels)
        self.flashing = True
        self.red_since: float | None = None
        self.changes = 0
        self.faults: list[str] = []

    def forget(self) -> None:
        """The lamps went out of our sight: the next state must be a flash."""
        self.lamps = None
        self.flashing = True
        self.red_since = None

    def see(self, now: float, lamps: Sequence[int], fault: bool = False, preempted: bool = False) -> None:
        """The lamps from ``now`` on. fault: flash without clearance is right; preempted: entry times hold."""
        self.preempted = preempted
        new = tuple(lamps)
        old = self.lamps
        if new is old or new == old:
            return
        if any(lamp in (DARK, F_RED, F_YELLOW) for lamp in new):
            self._see_flash(now, new, fault)
            return
        if old is None or self.flashing:
            if any(lamp != RED for lamp in new):
                self._say(now, f"left flash to {new}, not to all red")
            self.flashing, self.red_since = False, now
            self.since = [now] * len(new)
            self.ended = [now] * len(new)
            self.lamps = new
            return
        for c, lamp in enumerate(new):
            if lamp != old[c]:
                self.changes += 1
                (self._see_ped if self.ped[c] else self._see_vehicle)(now, c, old[c], lamp)
                if old[c] in GO and lamp == RED:
                    self.ended[c] = now
                self.since[c] = now
        for a, b in self.pairs:
            if new[a] in GO and new[b] in GO:
                self._say(now, f"{self.channels[a]} and {self.channels[b]} conflict")
        for c, lamp in enumerate(new):
            if lamp in GO and old[c] not in GO:
                if self.red_since is not None and now - self.red_since < self.all_red - TOL:
                    self._say(now, "green before all red was over")
                for d in self.against[c]:
                    if not self.ped[d] and now - self.ended[d] < self.clear[d] - TOL:
                        self._say(
                            now,
                            f"{self.channels[c]} began {now - self.ended[d]:.2f} s after {self.channels[d]}",
                        )
        if any(lamp in GO for lamp in new):
            self.red_since = None
        self.lamps = new

    def _see_flash(self, now: float, new: tuple[int, ...], fault: bool) -> None:
        running = self.lamps is not None and not self.flashing
        if running and not fault and any(lamp != RED for lamp in self.lamps or ()):
            self._say(now, f"flash out of {self.lamps} without clearance")
        self.flashing, self.lamps, self.red_since = True, new, None

    def _see_vehicle(self, now: float, c: int, old: int, new: int) -> None:
        lasted = now - self.since[c]
        name = self.channels[c]
        if old == GREEN and new == YELLOW:
            if lasted < (self.cut_green if self.preempted else self.min_green)[c] - TOL:
                self._say(now, f"{name}: green of {lasted:.2f} s")
        elif old == YELLOW and new == RED:
            if lasted < self.yellow[c] - TOL:
                self._say(now, f"{name}: yellow of {lasted:.2f} s")
        elif old == RED and new == GREEN:
            if lasted < self.revert[c] - TOL:
                self._say(now, f"{name}: red of {lasted:.2f} s")
        else:
            self._say(now, f"{name}: {old} to {new}")

    def _see_ped(self, now: float, c: int, old: int, new: int) -> None:
        lasted = now - self.since[c]
        name = self.channels[c]
        if old == GREEN and new == F_GREEN:
            if lasted < (self.cut_walk if self.preempted else self.walk)[c] - TOL:
                self._say(now, f"{name}: walk of {lasted:.2f} s")
        elif old == F_GREEN and new == RED:
            if lasted < (self.cut_clear if self.preempted else self.ped_clear)[c] - TOL:
                self._say(now, f"{name}: clearance of {lasted:.2f} s")
        elif not (old == RED and new == GREEN):
            self._say(now, f"{name}: {old} to {new}")

    def _say(self, now: float, text: str) -> None:
        self.faults.append(f"{now:.2f}: {text}")
