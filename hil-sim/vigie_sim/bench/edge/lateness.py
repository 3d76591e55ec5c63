"""How late scans begin under polling load, beside a loop in C that does nothing but wake up.

A scan's instant is in the replay journal; its deadline is the multiple of the period before it.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from vigie_protocols.broker import Broker
from vigie_sim.agents import command
from vigie_sim.bench.edge.devices import Devices
from vigie_sim.bench.edge.listener import Listener
from vigie_sim.bench.edge.load import GATEWAY, fast_load, gateway, working
from vigie_sim.bench.figures import Figures, percentile

_C = r"""
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
int main(int argc, char **argv) {
    long period = atol(argv[1]) * 1000, count = atol(argv[2]), place;
    struct sched_param priority = {.sched_priority = 50};
    struct timespec due, now;
    long *late = malloc(count * sizeof *late);
    int fifo = sched_setscheduler(0, SCHED_FIFO, &priority) == 0;
    mlockall(MCL_CURRENT | MCL_FUTURE);
    clock_gettime(CLOCK_MONOTONIC, &due);
    due.tv_nsec -= due.tv_nsec % period;
    for (place = 0; place < count; place++) {
        due.tv_nsec += period;
        while (due.tv_nsec >= 1000000000L) { due.tv_nsec -= 1000000000L; due.tv_sec++; }
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL)) {}
        clock_gettime(CLOCK_MONOTONIC, &now);
        late[place] = (now.tv_sec - due.tv_sec) * 1000000L + (now.tv_nsec - due.tv_nsec) / 1000;
    }
    printf("[%d", fifo);
    for (place = 0; place < count; place++) printf(",%ld", late[place]);
    printf("]\n");
    return 0;
}
"""


def lateness(figures: Figures) -> None:
    """Both periods of the table."""
    seconds = 4.0 if figures.quick else 30.0
    program = _compiled(figures.folder)
    devices = Devices()
    broker = Broker(figures.folder / "late-broker")
    broker.start()
    listener = Listener(broker.port, GATEWAY)
    try:
        for period in (0.01, 0.1):
            folder = figures.folder / f"late-{period:g}"
            file = gateway(fast_load(figures), folder, devices.port, broker.port, period)
            _one(figures, file, period, seconds, program)
    finally:
        listener.stop()
        broker.stop()
        devices.stop()


def _compiled(folder: Path) -> Path | None:
    """The program in C, or None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    source, program = folder / "wake.c", folder / "wake"
    source.write_text(_C)
    subprocess.run([compiler, "-O2", "-o", str(program), str(source)], check=True)
    return program


def _one(figures: Figures, file: Path, period: float, seconds: float, program: Path | None) -> None:
    case = f"scan every {1000 * period:g} ms under load"
    beside: subprocess.Popen[str] | None = None
    with working(file) as one:
        if program is not None:
            line = [str(program), str(round(1e6 * period)), str(round(seconds / period))]
            beside = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        before, begun = one.status()["counters"], time.monotonic()
        time.sleep(seconds)
        after, ended = one.status()["counters"], time.monotonic()
        scanned = [now for now in _instants(file.parent / "journal") if begun <= now <= ended]
        told = json.loads(beside.communicate()[0]) if beside is not None else []
    late = [1e6 * (now % period) for now in scanned]
    for share in (0.5, 0.99, 0.999):
        metric = f"lateness p{100 * share:g}"
        if late:
            figures.ours(
                case, metric, percentile(late, share), "us", len(late), "<= 1.5 x C" if share == 0.99 else ""
            )
        if told:
            name = "C, clock_nanosleep" + (", FIFO" if told[0] else "")
            figures.reference(case, name, metric, percentile(told[1:], share), "us", len(told) - 1)
    figures.ours(
        case, "scans missed", after["control.missed"] - before["control.missed"], "", len(scanned), "0"
    )
    figures.ours(case, "SCHED_FIFO granted", after["control.fifo"], "")


def _instants(journal: Path) -> list[float]:
    """Monotonic seconds of the scans in the replay journal."""
    line = [*command("vigie-edge"), "journal", str(journal), "--only", "replay", "--export"]
    done = subprocess.run(
        line, capture_output=True, text=True, check=True, env={**os.environ, "NO_COLOR": "1"}
    )
    rows = [json.loads(row) for row in done.stdout.splitlines() if '"kind": "scan"' in row]
    return [row["content"]["now"] for row in rows]
