"""Traffic among all areas of ``vigie-sim bench``: one seed of the main subjects. The table with every seed is
``vigie-sim bench traffic``."""

from vigie_protocols.errors import PermanentError
from vigie_sim.bench.figures import Figures
from vigie_sim.bench.traffic.jobs import UNITS, Job
from vigie_sim.bench.traffic.pool import cores, run_all
from vigie_sim.bench.traffic.scenarios import scenarios, shared_folder
from vigie_sim.bench.traffic.summary import OURS, TARGETS

SHOWN = ("adaptive", "actuated", "fixed", "sumo_actuated", "max_pressure")
QUICK = ("adaptive", "fixed")
_QUICK_S = 300.0


def area(figures: Figures) -> None:
    """Fill the figures of this area; raises PermanentError when a run fails."""
    figures.mine = OURS
    shared = [str(shared_folder())] if shared_folder().is_dir() and not figures.quick else []
    seconds = _QUICK_S if figures.quick else None
    jobs = [
        Job(name, path, subject, figures.seed, seconds)
        for name, path in scenarios([*shared, "arterial"]).items()
        for subject in (QUICK if figures.quick else SHOWN)
    ]
    place = {job: number for number, job in enumerate(jobs)}
    done = sorted(run_all(jobs, cores(), lambda job, share: None), key=lambda one: place[one.job])
    for one in done:
        if one.failure:
            raise PermanentError(f"{one.job.case}, {one.job.subject}: {one.failure}")
        for row in one.rows():
            target = TARGETS.get(row.case) if row.metric == "delay_s" else None
            if row.subject == OURS:
                words = "" if target is None else f"<= {target.least:g}, aim {target.aim:g}"
                figures.ours(row.case, row.metric, row.value, UNITS[row.metric], target=words)
            else:
                figures.reference(row.case, row.subject, row.metric, row.value, UNITS[row.metric])
