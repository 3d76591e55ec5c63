"""``vigie-edge status``: a running agent in a terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table


def _links(links: dict[str, Any]) -> Table:
    table = Table("link", "device", "state", "last answer", "requests", "failures")
    for name, link in links.items():
        counters = link["counters"]
        for device, row in link["devices"].items():
            state = "up" if row["up"] else f"[red]down[/] {row['error']}"
            age = f"{row['age_s']} s ago" if row["age_s"] < 1e6 else "never"
            table.add_row(name, device, state, age, str(counters["requests"]), str(counters["failures"]))
    return table


def _policies(told: dict[str, Any]) -> str:
    rows = [f"{one['id']}@{one['version']} {one['state']}" for one in told.get("documents", [])]
    refused = told.get("refused")
    if refused:
        rows.append(f"[red]refused[/] {refused['code']}: {refused['reason']}")
    return f"policies: generation {told.get('generation', 0)}; {', '.join(rows) or 'local defaults'}"


def show(
    status: dict[str, Any],
    leases: list[dict[str, Any]],
    alarms: list[dict[str, Any]],
    policies: dict[str, Any],
    faults: list[dict[str, Any]],
) -> None:
    """Print processes, links, counters by subject, policies, alarms, latched faults and leases."""
    console = Console()
    console.print(f"[bold]{status['gateway']}[/]  configuration {status['configuration'][:12]}")
    processes = Table("process", "pid", "up s", "restarts", "last exit")
    for name, row in status["processes"].items():
        pid = str(row["pid"]) if row["pid"] else "[red]down[/]"
        processes.add_row(name, pid, str(row["up_s"]), str(row["restarts"]), row["last_exit"])
    console.print(processes)
    if status.get("links"):
        console.print(_links(status["links"]))
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
    console.print(_policies(policies))
    for fault in faults:
        console.print(f"[red]latched[/] {fault['loop']}, {fault['subject']}: {fault['reason']}")
    if counters["uplink.denied_now"]:
        console.print(
            f"[red]alarm[/] high: the broker denied {counters['uplink.denied']} messages of this gateway"
        )
    for alarm in alarms:
        console.print(f"[red]alarm[/] {alarm['severity']}: {alarm['point']} {alarm['reason']}")
    for lease in leases:
        forces = ", ".join(f"{point} = {value}" for point, value in lease["forces"].items())
        console.print(
            f"lease {lease['id']}: {forces}; {lease['holder']}: {lease['reason']}; {lease['remaining_s']} s left"
        )
