"""The signal guard under a seeded adversary: ten million lamp transitions, and how many were unlawful.

Cases: ``requests`` (random and hostile requests, broken inputs, faults, restarts), ``pre-emption`` (the same
with rail, emergency and other calls at random) and ``cabinet`` (a controller cabinet with its own monitor behind
the guard, whose reports are wrong for half of the junctions; fewer, since the cabinet is simulated too). A
violation is whatever the invariant check, the strict judge or the rig's conflict monitor objects to, whatever may
not be asked of a cabinet, and whoever waits beyond his bound. Reference of the same run: the same requests shown,
or asked of the cabinet, as they are, without any guard, before the same judges; a judge that finds nothing there
would prove nothing here.
"""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import Any

from vigie_controllers.signals.words import Lamp
from vigie_sim.bench.figures import Figures
from vigie_sim.bench.traffic.pool import cores
from vigie_sim.traffic.adversary import Adversary
from vigie_sim.traffic.cabinetattack import CabinetAdversary
from vigie_sim.traffic.judge import Judge
from vigie_sim.traffic.shapes import dual_ring, one_ring, with_preemptions

CASES = REQUESTS, PREEMPTION, CABINET = "requests", "pre-emption", "cabinet"
UNGUARDED = "no guard"
_TRANSITIONS = {REQUESTS: 5_000_000, PREEMPTION: 5_000_000, CABINET: 300_000}
_QUICK = 20_000
_SCANS = 20_000
_REFERENCE_SCANS = 2_000


def guard(figures: Figures) -> None:
    """Fill the figures of this area."""
    context = get_context("spawn")
    with ProcessPoolExecutor(cores(), context, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        for case in CASES:
            wanted = _QUICK if figures.quick else _TRANSITIONS[case]
            begun = time.perf_counter()
            total: Counter[str] = Counter()
            seeds = _seeds(figures.seed)
            while total["transitions"] < wanted:
                batch = list(islice(seeds, 2 * cores()))
                for counts in pool.map(attacked, [case] * len(batch), batch):
                    total.update(counts)
            wall = time.perf_counter() - begun
            n = total["junctions"]
            figures.ours(case, "violations", total["violations"], "", n, "0")
            figures.ours(case, "transitions", total["transitions"], "", n, f">= {wanted}")
            figures.ours(case, "scans", total["scans"], "", n)
            figures.ours(case, "restarts", total["restarts"], "", n)
            figures.ours(case, "pre-emptions", total["preemptions"], "", n)
            figures.ours(case, "wall time", wall, "s", n)
            figures.ours(case, "transitions a second", total["transitions"] / wall, "1/s", n)
            bare = obeyed(case, figures.seed)
            for metric in ("violations", "transitions", "scans"):
                figures.reference(case, UNGUARDED, metric, bare[metric], "")


def _seeds(first: int) -> Iterator[int]:
    seed = first * 1_000_000
    while True:
        yield seed
        seed += 1


def junction(case: str, seed: int) -> dict[str, Any]:
    """The site of one seed: mostly two rings and eight phases, every fifth a single ring of two to six."""
    raw = one_ring(2 + seed // 5 % 5) if seed % 5 == 0 else dual_ring()
    return with_preemptions(raw, seed) if case == PREEMPTION else raw


def attacked(case: str, seed: int, scans: int = _SCANS) -> dict[str, int]:
    """What one adversary got out of one guarded junction."""
    one: Adversary | CabinetAdversary
    if case == CABINET:
        one = CabinetAdversary(junction(case, seed), seed, lies=seed % 2 == 1)
    else:
        one = Adversary(junction(case, seed), seed)
    one.run(scans)
    return {
        "junctions": 1,
        "violations": len(one.faults),
        "transitions": one.transitions,
        "scans": one.scans,
        "restarts": one.restarted,
        "preemptions": one.watch.served,
    }


def obeyed(case: str, seed: int) -> dict[str, int]:
    """The same requests obeyed at once: green where a phase is called and not omitted, red elsewhere; or asked of a
    cabinet as they are."""
    raw = junction(case, seed * 1_000_000 + 1)
    if case == CABINET:
        bare = CabinetAdversary(raw, seed, lies=False, guarded=False)
        bare.run(_REFERENCE_SCANS)
        return {"violations": len(bare.faults), "transitions": bare.transitions, "scans": _REFERENCE_SCANS}
    one, judge = Adversary(raw, seed), Judge(raw)
    judge.see(one.now, [int(Lamp.RED)] * len(one.site.channels))
    for _ in range(_REFERENCE_SCANS):
        one.run(1)
        wants = one.wants
        asked = frozenset() if wants is None else wants.call - wants.omit
        lamps = [int(Lamp.GREEN if asked & set(c.phases) else Lamp.RED) for c in one.site.channels]
        judge.see(one.now, lamps)
    return {"violations": len(judge.faults), "transitions": judge.changes, "scans": _REFERENCE_SCANS}
