"""What the traffic bench runs and what a run gives: plain values that cross process borders."""

from dataclasses import dataclass
from pathlib import Path

from vigie_sim.bench.figures import Row

AREA = "traffic"
UNITS: dict[str, str] = {
    "delay_s": "s",
    "p95_delay_s": "s",
    "wait_s": "s",
    "stops": "",
    "arrived": "",
    "loaded": "",
    "longest_red_s": "s",
    "collisions": "",
    "teleports": "",
    "emergency_brakings": "",
    "guard_interventions": "",
    "monitor_trips": "",
    "decision_ms_mean": "ms",
    "decision_ms_p99": "ms",
}
"""Every metric of a run and its unit. delay: mean over all loaded vehicles of timeLoss + departDelay, never
departed ones counted up to the end; wait, stops: means over inserted vehicles; decision: CPU of one scan of one
junction (only where ours decides)."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run. scenario: its name; path: ``.sumocfg`` or ``.net.xml``; subject: who controls; seconds: only the
    first so many; failed: share of detectors that read bad; pedestrians: they call every phase always."""

    scenario: str
    path: Path
    subject: str
    seed: int
    seconds: float | None = None
    failed: float = 0.0
    pedestrians: bool = False

    @property
    def case(self) -> str:
        """The scenario, with what was made harder."""
        words = [self.scenario]
        if self.failed:
            words.append(f"{self.failed:.0%} detectors failed")
        if self.pedestrians:
            words.append("pedestrians")
        if self.seconds is not None:
            words.append(f"first {self.seconds:g} s")
        return " + ".join(words)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gave. metrics: by the names of ``UNITS``; notes: sentences for the report, such as trips;
    failure: why there are no metrics, in words."""

    job: Job
    metrics: dict[str, float]
    notes: tuple[str, ...] = ()
    failure: str = ""

    def rows(self) -> list[Row]:
        """One row per metric."""
        job = self.job
        return [
            Row(AREA, job.case, job.subject, name, float(self.metrics[name]), unit, job.seed, 1)
            for name, unit in UNITS.items()
            if name in self.metrics
        ]
