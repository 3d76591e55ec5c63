"""Does the agent grow? Its memory over many minutes of the fast load; only when ``--soak MINUTES`` asks for it."""

import time

from vigie_protocols.broker import Broker
from vigie_sim.bench.edge.devices import Devices
from vigie_sim.bench.edge.listener import Listener
from vigie_sim.bench.edge.load import GATEWAY, fast_load, gateway, pids_of, working
from vigie_sim.bench.figures import Figures, median
from vigie_sim.bench.processes import own, pss

_WARM = 0.1
"""Share of the time that counts neither: rings fill, and the journal reaches the size at which it turns over."""
_LOOK_S = 5.0
_ALL = "all processes"


def soak(figures: Figures) -> None:
    """Fill the figures; nothing without a time."""
    if not figures.soak_min:
        return
    load = fast_load(figures)
    folder = figures.folder / "soak"
    devices = Devices()
    broker = Broker(folder / "broker")
    broker.start()
    listener = Listener(broker.port, GATEWAY, ages=False)
    seconds = 60.0 * figures.soak_min
    weights: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    try:
        with working(gateway(load, folder, devices.port, broker.port)) as one:
            groups = pids_of(one)
            listener.reset()
            begun = time.monotonic()
            while (passed := time.monotonic() - begun) < seconds:
                for name, pids in groups.items():
                    weights.setdefault(name, []).append(pss(pids))
                    theirs.setdefault(name, []).append(own(pids))
                time.sleep(min(_LOOK_S, seconds - passed))
            arrived, wall = listener.taken(), time.monotonic() - begun
            if pids_of(one) != groups:
                figures.note("soak: a process was started again")
    finally:
        listener.stop()
        broker.stop()
        devices.stop()
    case = f"soak, {load.title()}, {figures.soak_min:g} min"
    for kind, rows in (("PSS", weights), ("PSS without code of libraries", theirs)):
        rows[_ALL] = [sum(row) for row in zip(*rows.values(), strict=True)]
        for name, row in sorted(rows.items(), key=lambda one: one[0] != _ALL):
            warm = row[int(_WARM * len(row)) :]
            part = max(1, len(warm) // 10)
            first, last = median(warm[:part]), median(warm[-part:])
            target = "< 1" if name == _ALL else ""
            figures.ours(case, f"growth of memory ({kind}), {name}", last - first, "MiB", len(warm), target)
            figures.ours(case, f"memory ({kind}) at the end, {name}", last, "MiB", part)
    points = load.devices * load.points / load.period_s
    figures.ours(case, "points delivered", arrived.samples / wall, "1/s", 1, f"{points:g}")
