"""The demo in a terminal: progress while it runs, the comparison at its end. French first, English beside."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vigie_sim import report as reports
from vigie_sim.apart import apart
from vigie_sim.demo import Demo, Progress, baseline, free_listen

_ROWS = (
    ("delay_s", "retard par véhicule / delay per vehicle", "s", 1),
    ("p95_delay_s", "retard, 95e centile / delay, 95th percentile", "s", 1),
    ("arrived", "véhicules arrivés / vehicles arrived", "", 0),
    ("overflow_m3", "débordement / overflow", "m³", 1),
    ("energy_kwh", "énergie / energy", "kWh", 2),
    ("lamp_energy_kwh", "dont éclairage / of it lighting", "kWh", 2),
    ("pump_energy_kwh", "dont pompage / of it pumping", "kWh", 2),
)
_MUST_BE_ZERO = (
    ("monitor_trips", "moniteurs déclenchés / monitor trips"),
    ("samples_lost", "mesures perdues / samples lost"),
    ("samples_duplicated", "mesures en double / samples duplicated"),
    ("scans_missed", "cycles manqués / scans missed"),
)


def screen(progress: Progress, page: str) -> Group:
    """What is shown while the demo runs."""
    shown = progress.fields
    duration = shown.get("duration", 3600.0) or 3600.0
    minutes, seconds = divmod(int(shown.get("t", 0)), 60)
    table = Table.grid(padding=(0, 3))
    clock, speed = f"{minutes:02d}:{seconds:02d}", f"{shown.get('speed', 0):.0f} ×"
    basin, spilled = f"{shown.get('basin_m', 0):.2f} m", f"{shown.get('overflow_m3', 0):.0f} m³"
    rows = (
        ("heure simulée / simulated time", clock, "vitesse / speed", speed),
        ("véhicules / vehicles", shown.get("vehicles", 0), "file / queue", shown.get("queue", 0)),
        ("bassin / basin", basin, "débordement / overflow", spilled),
        ("éclairage / lamp power", f"{shown.get('lamp_kw', 0):.2f} kW", "passerelles / gateways",
         f"{progress.gateways_online}/{progress.gateways}"),
        ("alarmes / alarms", progress.alarms, "déclenchements / trips", shown.get("trips", 0)),
    )  # fmt: skip
    for left, one, right, two in rows:
        table.add_row(Text(left, style="dim"), str(one), Text(right, style="dim"), str(two))
    parts: list[Any] = [ProgressBar(total=duration, completed=shown.get("t", 0)), table]
    if page:
        parts.append(Text(f"page : {page}", style="bold cyan"))
    parts += [Text(note, style="yellow") for note in progress.notes[-6:]]
    return Group(Panel(Group(*parts), title="Vigie · démonstration / demo", border_style="cyan"))


def comparison(document: dict[str, Any]) -> Table:
    """The report beside its reference."""
    base = document["baseline"]
    table = Table(
        "mesure / outcome", "Vigie", "référence / reference", "écart / difference",
        title="Une heure de district / One district hour",
    )  # fmt: skip
    for name, words, unit, digits in _ROWS:
        if name in document:
            ours, theirs = document[name], base.get(name)
            change = "" if not theirs else f"{100 * (ours - theirs) / theirs:+.0f} %"
            table.add_row(words, f"{ours:.{digits}f} {unit}", f"{theirs:.{digits}f} {unit}", change)
    for name, words in _MUST_BE_ZERO:
        value = document[name]
        table.add_row(words, f"[green]{value:.0f}[/]" if value == 0 else f"[red]{value:.0f}[/]", "0", "")
    table.add_row(
        "interventions des gardes / guard interventions", str(document["guard_interventions"]), "", ""
    )
    table.add_row("mesures publiées / samples published", str(document["samples_published"]), "", "")
    table.add_row("politiques appliquées / policies applied", str(document["policies_applied"]), "2", "")
    table.add_row("vitesse / speed", f"{document['real_time_factor']:.0f} ×", "", "")
    return table


async def run_demo(
    folder: Path,
    seed: int,
    duration_s: float | None,
    headless: bool,
    stay: bool,
    console: Console,
    controller: str,
) -> dict[str, Any]:
    """The whole demo; returns the report."""
    console.print("Démarrage du district… / Starting the district…")
    demo = Demo(folder, seed, duration_s, "127.0.0.1:0" if headless else free_listen(), controller)
    try:
        page = await demo.start()
        address = "" if headless else page
        if address:
            console.print(f"Page en direct / live page: [bold cyan]{address}[/]")
        await _watch(demo, address, console)
        console.print("Vidange des journaux… / Draining the journals…")
        document = await demo.finish()
        await demo.end_physics()
        if headless or not stay:
            await demo.stop()
        console.print("Heure de référence… / Reference hour…")
        whole = _whole(demo, document, apart(baseline, seed, duration_s))
        _tell(whole, console)
        if stay and not headless:
            console.print(f"La page reste ouverte / the page stays up: [bold cyan]{page}[/] (Ctrl-C)")
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
    finally:
        await demo.stop()
    return whole


async def _watch(demo: Demo, address: str, console: Console) -> None:
    """Run all ticks, showing how it goes."""
    if not console.is_terminal:
        await _quietly(demo, console)
        return
    with Live(screen(demo.progress, address), console=console, refresh_per_second=4) as live:
        updater = asyncio.create_task(_update(live, demo.progress, address))
        try:
            await demo.run.run()
        finally:
            updater.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await updater


def _whole(demo: Demo, document: dict[str, Any], base: dict[str, float]) -> dict[str, Any]:
    run = document.pop("run")
    return {
        **demo.outcomes(),
        **document,
        "baseline": base,
        "real_time_factor": run["real_time_factor"],
        "versions": reports.versions(),
        "run": {**run, "machine": reports.machine()},
    }


def _tell(whole: dict[str, Any], console: Console) -> None:
    cut = whole["run"]["cut"]
    console.print(
        f"Coupure de {cut['gateway']} / uplink cut: {cut['scans_during']} cycles sans liaison / scans without a link, "
        f"{cut['records_backfilled']} enregistrements rattrapés / records backfilled, "
        f"{'complet / complete' if cut['complete'] else 'INCOMPLET / INCOMPLETE'}"
    )
    for name, policy in whole["run"]["policies"].items():
        console.print(f"Politique {name} appliquée par / policy applied by: {', '.join(policy['gateways'])}")
    console.print(comparison(whole))


async def _update(live: Live, progress: Progress, page: str) -> None:
    while True:
        live.update(screen(progress, page))
        await asyncio.sleep(0.25)


async def _quietly(demo: Demo, console: Console) -> None:
    """Without a terminal: a line each five simulated minutes, and every note."""
    told = 0
    while demo.run.tick < demo.run.world.ticks:
        await demo.run.run(min(60, demo.run.world.ticks - demo.run.tick))
        for note in demo.progress.notes[told:]:
            console.print(note)
        told = len(demo.progress.notes)
        if demo.run.tick % 300 == 0:
            shown = demo.progress.fields
            console.print(
                f"{demo.run.tick // 60:02d}:00  {shown['speed']:.0f} ×  file / queue {shown['queue']}  "
                f"bassin / basin {shown['basin_m']:.2f} m  éclairage / lamps {shown['lamp_kw']:.2f} kW  "
                f"passerelles / gateways {demo.progress.gateways_online}/{demo.progress.gateways}"
            )
