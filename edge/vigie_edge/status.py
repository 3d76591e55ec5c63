"""``vigie-edge status``: a running agent in a terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table


def show(status: dict[str, Any], leases: list[dict[str, Any]], alarms: list[dict[str, Any]]) -> None:
    """Print processes, counters by subject, alarms and leases."""
    console = Console()
    console.print(f"[bold]{status['gateway']}[/]  configuration {status['configuration'][:12]}")
    processes = Table("process", "pid", "up s", "restarts", "last exit")
    for name, row in status["processes"].items():
        pid = str(row["pid"]) if row["pid"] else "[red]down[/]"
        processes.add_row(name, pid, str(row["up_s"]), str(row["restarts"]), row["last_exit"])
    console.print(processes)
    counters = status["counters"]
    table = Table("subject", "figures")
    for subject in ("control", "field", "recorder", "uplink"):
        rows = [
            f"{name.partition('.')[2].replace('_', ' ')} {value}"
            for name, value in counters.items()
            if name.startswith(subject + ".") and value
        ]
        table.add_row(subject, ", ".join(rows))
    console.print(table)
    scans = counters["control.scans"]
    if scans:
        mean = counters["control.late_us_sum"] / scans
        console.print(f"scan lateness: mean {mean:.0f} µs, worst {counters['control.late_us_max']} µs")
    for alarm in alarms:
        console.print(f"[red]alarm[/] {alarm['severity']}: {alarm['point']} {alarm['reason']}")
    for lease in leases:
        forces = ", ".join(f"{point} = {value}" for point, value in lease["forces"].items())
        console.print(
            f"lease {lease['id']}: {forces}; {lease['holder']}: {lease['reason']}; {lease['remaining_s']} s left"
        )
