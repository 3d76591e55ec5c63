"""``vigie-edge status``: a running agent in a terminal. First what is wrong, then everything else."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vigie_edge.language import say

MOST_DEVICES = 30
"""Beyond so many devices only those that are down get a row, unless all are asked for."""
_TRUST = (
    ("sans référence: aucune nouvelle politique", "not to be trusted: no new policy is taken"),
    ("en réserve depuis la dernière synchronisation", "on its own since it was last synchronised"),
    ("synchronisée", "synchronised"),
)


def problems(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a person should look at, as (``red`` or ``yellow``, words), worst first.

    told: the supervisor's status with ``leases``, ``alarms``, ``policies``, ``faults`` and ``drift`` as control gave
    them; each is None where control does not answer.
    """
    yield from _machinery(told)
    for fault in told["faults"] or ():
        where = f"{fault['loop']}, {fault['subject']}: {fault['reason']}"
        yield "red", say(f"défaut verrouillé: {where}", f"latched fault: {where}")
    for alarm in told["alarms"] or ():
        words = f"{alarm['severity']}: {alarm['point']} {alarm['reason']}"
        yield "red", say(f"alarme {words}", f"alarm {words}")
    for link in told["links"].values():
        for name, device in link["devices"].items():
            if not device["up"]:
                why = f"{name}: {device['error']}"
                yield "red", say(f"appareil muet: {why}", f"device down: {why}")
    for row in told["drift"] or ():
        yield (
            "yellow",
            say(f"écart {row['point']}: {row['reason']}", f"drift {row['point']}: {row['reason']}"),
        )
    refused = (told["policies"] or {}).get("refused")
    if refused:
        words = f"{refused['code']}: {refused['reason']}"
        yield "yellow", say(f"politique refusée: {words}", f"policy refused: {words}")


def _machinery(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    counters = _counters(told)
    for name, row in told["processes"].items():
        if not row["pid"]:
            last = row["last_exit"]
            yield "red", say(f"{name} est arrêté ({last})", f"{name} is down ({last})")
    if told["leases"] is None:
        yield "red", say("control ne répond pas", "control does not answer")
    if counters["recorder.disk_refuses"]:
        yield (
            "red",
            say(
                "le disque refuse le journal: les cycles continuent, tout est gardé en mémoire tant qu'elle suffit",
                "the disk refuses the journal: scans go on, everything is kept in memory while there is room",
            ),
        )
    elif counters["recorder.write_failures"]:
        count = counters["recorder.write_failures"]
        yield (
            "yellow",
            say(
                f"{count} écritures refusées par le disque, reprises depuis",
                f"{count} writes refused by the disk, made up for since",
            ),
        )
    if counters["recorder.quarantined"]:
        count = counters["recorder.quarantined"]
        yield (
            "yellow",
            say(
                f"{count} segments de journal abîmés, mis de côté (.corrupt); ce qui manque: vigie-edge journal",
                f"{count} damaged journal segments set aside (.corrupt); what is missing: vigie-edge journal",
            ),
        )
    for name, french, english in (
        ("recorder.dropped", "enregistrements non acquittés perdus faute de place", "unacknowledged records dropped"),
        ("field.readings_lost", "lots de mesures non journalisés", "batches of readings not journalled"),
        ("control.scans_lost", "cycles non journalisés", "scans not journalled"),
        ("control.missed", "cycles sautés", "scans missed"),
    ):  # fmt: skip
        if counters[name]:
            colour = "yellow" if name == "control.missed" else "red"
            yield colour, f"{counters[name]} {say(french, english)}"
    for name, row in told["processes"].items():
        if row["restarts"]:
            count = row["restarts"]
            yield "yellow", say(f"{name} relancé {count} fois", f"{name} started again {count} times")
    if told["uplink"] and not counters["uplink.connected"]:
        trouble = told.get("uplink_trouble")
        why = f"{told['uplink']} ({trouble})" if trouble else told["uplink"]
        yield (
            "yellow",
            say(
                f"pas de lien vers {why}: tout est gardé dans le journal",
                f"no link to {why}: everything is kept in the journal",
            ),
        )
    elif counters["uplink.unheard"]:
        count = counters["uplink.unacked"]
        yield (
            "yellow",
            say(
                f"relié à {told['uplink']}, mais rien n'est acquitté: {count} enregistrements attendent au journal",
                f"linked to {told['uplink']}, but nothing is acknowledged: {count} records wait in the journal",
            ),
        )
    if counters["uplink.denied_now"]:
        yield "red", say("le courtier refuse nos publications", "the broker denies what we publish")
    if "single" not in told["processes"] and not (counters["control.fifo"] and counters["control.locked"]):
        missing = " + ".join(
            word
            for word, name in (("SCHED_FIFO", "fifo"), ("mlockall", "locked"))
            if not counters[f"control.{name}"]
        )
        yield "yellow", say(f"temps réel non accordé: {missing}", f"real time not granted: {missing}")
    if counters["control.trust"] < len(_TRUST) - 1:
        words = say(*_TRUST[counters["control.trust"]])
        yield "yellow", say(f"horloge UTC {words}", f"UTC clock {words}")


def _counters(told: dict[str, Any]) -> dict[str, int]:
    """An agent that runs since before an upgrade does not count everything yet."""
    return defaultdict(int, told["counters"])


def show(told: dict[str, Any], everything: bool = False) -> None:
    """Print an agent. told: as ``problems`` takes it."""
    console = Console()
    found = list(problems(told))
    state = say("en service", "running")
    if found:
        state = say(f"{len(found)} point(s) à regarder", f"{len(found)} thing(s) to look at")
    colour = "red" if any(one == "red" for one, _ in found) else "yellow" if found else "green"
    version = f"{told['version']}, configuration {told['configuration'][:12]}"
    console.print(f"[bold]{told['gateway']}[/]  [{colour}]{state}[/]  {version}")
    for one, words in found:
        console.print(f"  [{one}]●[/] {escape(words)}")
    console.print(_processes(told["processes"]))
    if told["links"]:
        console.print(_devices(told["links"], everything))
    console.print(_figures(told))
    for lease in told["leases"] or ():
        forces = ", ".join(f"{point} = {value}" for point, value in lease["forces"].items())
        who = f"{lease['holder']}, {lease['reason']}"
        left = f"{lease['remaining_s']:.0f} s"
        head = say(f"bail {lease['id']}", f"lease {lease['id']}")
        console.print(
            f"[yellow]{head}[/] {escape(forces)}; {escape(who)}; {say(f'reste {left}', f'{left} left')}"
        )


def _processes(processes: dict[str, Any]) -> Table:
    table = Table(
        say("processus", "process"), "pid", say("depuis", "up"), say("relances", "restarts"),
        say("dernière fin", "last exit"),
    )  # fmt: skip
    for name, row in processes.items():
        pid = str(row["pid"]) if row["pid"] else say("[red]arrêté[/]", "[red]down[/]")
        table.add_row(name, pid, _age(row["up_s"]), str(row["restarts"]), row["last_exit"])
    return table


def _devices(links: dict[str, Any], everything: bool) -> Table:
    rows = [
        (name, link, device, row) for name, link in links.items() for device, row in link["devices"].items()
    ]
    up = sum(row["up"] for *_, row in rows)
    table = Table(
        say("lien", "link"), say("appareil", "device"), say("état", "state"), say("dernière réponse", "last answer"),
        say("requêtes", "requests"), say("échecs", "failures"),
        caption=say(f"{up} sur {len(rows)} répondent", f"{up} of {len(rows)} answer"),
    )  # fmt: skip
    for name, link, device, row in rows:
        if row["up"] and len(rows) > MOST_DEVICES and not everything:
            continue
        counters = link["counters"]
        state = say("répond", "up") if row["up"] else say("[red]muet[/]", "[red]down[/]")
        age = _age(row["age_s"]) if row["age_s"] < 1e6 else say("jamais", "never")
        table.add_row(name, device, state, age, str(counters["requests"]), str(counters["failures"]))
    return table


def _figures(told: dict[str, Any]) -> Table:
    counters, settings = _counters(told), told["settings"]
    table = Table(show_header=False)
    scans = counters["control.scans"]
    mean = counters["control.late_us_sum"] / scans if scans else 0.0
    period = f"{settings['scan_s'] * 1000:g} ms"
    worst = f"{counters['control.late_us_max'] / 1000:.1f} ms"
    over = counters["control.late_over_1ms"]
    table.add_row(
        say("cycle", "scan"),
        say(
            f"toutes les {period}; {scans} faits, {counters['control.missed']} sautés; retard moyen {mean:.0f} µs, "
            f"pire {worst}, {over} au-delà de 1 ms",
            f"every {period}; {scans} done, {counters['control.missed']} missed; late by {mean:.0f} µs on average, "
            f"{worst} at worst, {over} beyond 1 ms",
        ),
    )
    table.add_row(
        say("sorties", "outputs"),
        say(
            f"{counters['field.writes']} écritures, {counters['field.write_failures']} échouées; "
            f"{counters['control.interventions']} interventions des gardes; "
            f"{counters['field.safe_writes']} valeurs sûres écrites sans control",
            f"{counters['field.writes']} writes, {counters['field.write_failures']} failed; "
            f"{counters['control.interventions']} interventions of guards; "
            f"{counters['field.safe_writes']} safe values written without control",
        ),
    )
    journal = (
        f"{counters['recorder.telemetry_bytes'] / 1e6:.1f} / {settings['telemetry_quota_mb']} MB, "
        f"replay {counters['recorder.replay_bytes'] / 1e6:.1f} / {settings['replay_quota_mb']} MB"
    )
    table.add_row(
        "journal",
        say(
            f"{counters['recorder.records']} enregistrements, dernier {counters['recorder.last_index']}; {journal}",
            f"{counters['recorder.records']} records, the last {counters['recorder.last_index']}; {journal}",
        ),
    )
    if told["uplink"]:
        connected = (
            say("relié à", "linked to") if counters["uplink.connected"] else say("coupé de", "cut off from")
        )
        table.add_row(
            "uplink",
            say(
                f"{connected} {told['uplink']}; {counters['uplink.published']} envoyés, "
                f"acquittés jusqu'à {counters['uplink.acked_through']}, {counters['uplink.unacked']} en attente",
                f"{connected} {told['uplink']}; {counters['uplink.published']} sent, "
                f"acknowledged through {counters['uplink.acked_through']}, {counters['uplink.unacked']} waiting",
            ),
        )
    else:
        table.add_row("uplink", say("aucun: la passerelle est seule", "none: the gateway is on its own"))
    table.add_row(say("politiques", "policies"), escape(_policies(told["policies"])))
    table.add_row(say("horloge", "clock"), f"UTC {say(*_TRUST[counters['control.trust']])}")
    return table


def _policies(told: dict[str, Any] | None) -> str:
    if told is None:
        return say("inconnues: control ne répond pas", "unknown: control does not answer")
    rows = [f"{one['id']}@{one['version']} {one['state']}" for one in told.get("documents", [])]
    listed = ", ".join(rows) or say("réglages locaux", "local defaults")
    return f"{say('génération', 'generation')} {told.get('generation', 0)}; {listed}"


def _age(seconds: float) -> str:
    for length, unit in ((86400, say("j", "d")), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s"
