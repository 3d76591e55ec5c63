"""An OPC UA server whose values change, watched by the agent and by a bare asyncua client in turn.

Run as a process with ``serve ITEMS PER_SECOND`` or ``watch URL ITEMS SECONDS``.
"""

import asyncio
import json
import logging
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from vigie_sim.bench.edge.load import working
from vigie_sim.bench.figures import Figures
from vigie_sim.bench.processes import CpuMeter
from vigie_sim.traffic.documents import write_yaml

_STEP_S = 0.05
_SUBJECT = "bare asyncua client"


def opcua(figures: Figures) -> None:
    """Fill the figures."""
    items, rate = (200, 400) if figures.quick else (1000, 2000)
    seconds = 4.0 if figures.quick else 20.0
    line = [sys.executable, "-m", "vigie_sim.bench.edge.opcua"]
    case = f"OPC UA, {rate} changes/s over {items} items"
    with subprocess.Popen(
        [*line, "serve", str(items), str(rate)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            url = server.stdout.readline().strip()
            arguments = ["watch", url, str(items), str(seconds)]
            bare = json.loads(
                subprocess.run([*line, *arguments], capture_output=True, text=True, check=True).stdout
            )
            with working(_gateway(figures.folder / "opcua", url, items)) as one:
                told = one.status()
                pids = {name: [row["pid"]] for name, row in told["processes"].items()}
                meter = CpuMeter({**pids, "supervisor": [told["supervisor"]]})
                begun = time.monotonic()
                time.sleep(seconds)
                wall = time.monotonic() - begun
                spent = meter.spent()
                seen = one.status()["counters"]["field.readings"] - told["counters"]["field.readings"]
        finally:
            server.terminate()
    target = f"{rate}, <= 1.3 x bare"
    figures.ours(case, "changes delivered", seen / wall, "1/s", seen, str(rate))
    figures.reference(case, _SUBJECT, "changes delivered", bare["seen"] / bare["wall"], "1/s", bare["seen"])
    figures.ours(case, "CPU per change, field", 1e6 * spent["field"] / max(1, seen), "us", seen, target)
    figures.ours(case, "CPU per change, all processes", 1e6 * sum(spent.values()) / max(1, seen), "us", seen)
    per = 1e6 * bare["cpu"] / max(1, bare["seen"])
    for metric in ("CPU per change, field", "CPU per change, all processes"):
        figures.reference(case, _SUBJECT, metric, per, "us", bare["seen"])


def _gateway(folder: Path, url: str, items: int) -> Path:
    profile = {
        "profile": "bench-items",
        "title": {"fr": "Valeurs d'essai", "en": "Bench values"},
        "protocol": "opcua",
        "domain": "general",
        "points": [
            {
                "name": "v{i}", "type": "float", "repeat": items, "first": 0, "rate_s": 0.1, "stale_s": 60,
                "publish": False, "opcua": {"node": "v{i}"},
            }
        ],
    }  # fmt: skip
    write_yaml(folder / "bench-items.yaml", profile)
    document: dict[str, Any] = {
        "gateway": "gw-items",
        "site": {"name": {"fr": "Essai", "en": "Bench"}, "lat": 45.5, "lon": -73.6},
        "links": {
            "server": {
                "protocol": "opcua",
                "url": url,
                "publishing_s": 0.1,
                "sampling_s": 0.1,
                "timeout_s": 10,
            }
        },
        "devices": [{"name": "items", "profile": "bench-items", "link": "server"}],
        "runtime_dir": str(folder / "run"),
        "state_dir": str(folder / "state"),
        "journal": {"directory": str(folder / "journal")},
    }
    return write_yaml(folder / "gateway.yaml", document)


async def _serve(items: int, rate: int) -> None:
    import socket

    from asyncua import Server, ua

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"opc.tcp://127.0.0.1:{probe.getsockname()[1]}/bench"
    server = Server()
    server.disable_clock(True)
    await server.init()
    server.set_endpoint(url)
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    nodes = [ua.NodeId(f"v{number}", 2) for number in range(items)]
    for number, node in enumerate(nodes):
        await server.nodes.objects.add_variable(node, f"2:v{number}", 0.0)
    async with server:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        count, due = 0, time.monotonic()
        while True:
            for _ in range(round(rate * _STEP_S)):
                count += 1
                value = ua.DataValue(ua.Variant(float(count), ua.VariantType.Double))
                await server.write_attribute_value(nodes[count % items], value)
            due += _STEP_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))


class _Counter:
    seen = 0

    def datachange_notification(self, _node: Any, _value: Any, _data: Any) -> None:
        self.seen += 1


async def _watch(url: str, items: int, seconds: float) -> None:
    from asyncua import Client, ua

    counter = _Counter()
    async with Client(url, timeout=10) as client:
        subscription = await client.create_subscription(100, counter)
        nodes = [client.get_node(ua.NodeId(f"v{number}", 2)) for number in range(items)]
        await subscription.subscribe_data_change(nodes, queuesize=16, sampling_interval=100)
        await asyncio.sleep(2.0)
        used, seen, begun = resource.getrusage(resource.RUSAGE_SELF), counter.seen, time.monotonic()
        await asyncio.sleep(seconds)
        now = resource.getrusage(resource.RUSAGE_SELF)
        cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        found = {"seen": counter.seen - seen, "wall": time.monotonic() - begun, "cpu": cpu}
    sys.stdout.write(json.dumps(found))


def _main() -> None:
    import uvloop

    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    kind, *rest = sys.argv[1:]
    if kind == "serve":
        uvloop.run(_serve(int(rest[0]), int(rest[1])))
    else:
        uvloop.run(_watch(rest[0], int(rest[1]), float(rest[2])))


if __name__ == "__main__":
    _main()
