"""The references: the same polling with nothing around it. Run as processes; each prints one line of JSON.

``poll``: pymodbus's asyncio client, one block read a device, no decoding. ``publish``: pymodbus's plain
client and paho, one JSON message a device, as people write it for themselves.
"""

import asyncio
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

_CONNECT_AT_ONCE = 25


@dataclass(frozen=True)
class Bare:
    """What a bare loop reached in ``seconds``: requests answered, CPU seconds, longest lag behind its grid."""

    requests: int
    seconds: float
    cpu_s: float
    lag_s: float


def run(kind: str, *arguments: float) -> Bare:
    """Run one of the references to its end."""
    line = [sys.executable, "-m", "vigie_sim.bench.edge.bare", kind, *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return Bare(**json.loads(done.stdout))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _poll(port: int, devices: int, registers: int, period: float, seconds: float) -> Bare:
    from pymodbus.client import AsyncModbusTcpClient

    clients: list[Any] = [AsyncModbusTcpClient("127.0.0.1", port=port) for _ in range(devices)]
    for start in range(0, devices, _CONNECT_AT_ONCE):
        await asyncio.gather(*(client.connect() for client in clients[start : start + _CONNECT_AT_ONCE]))
    begun = time.monotonic() + 0.1
    used = _cpu_s()
    count, lag = 0, 0.0

    async def device(place: int, client: Any) -> None:
        nonlocal count, lag
        due = begun + period * place / devices
        while due < begun + seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            answer = await client.read_holding_registers(0, count=registers)
            count += len(answer.registers) == registers
            lag = max(lag, time.monotonic() - due)
            due += period

    await asyncio.gather(*(device(place, client) for place, client in enumerate(clients)))
    return Bare(count, time.monotonic() - begun, _cpu_s() - used, lag)


def _publish(port: int, devices: int, registers: int, period: float, seconds: float, broker: int) -> Bare:
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion
    from pymodbus.client import ModbusTcpClient

    mqtt = Client(CallbackAPIVersion.VERSION2)
    mqtt.connect("127.0.0.1", broker)
    mqtt.loop_start()
    clients: list[Any] = [ModbusTcpClient("127.0.0.1", port=port) for _ in range(devices)]
    for client in clients:
        client.connect()
    begun = time.monotonic()
    used = _cpu_s()
    count, lag, due = 0, 0.0, begun
    while due < begun + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        for place, client in enumerate(clients):
            row = client.read_holding_registers(0, count=registers).registers
            stamp = row[0] << 48 | row[1] << 32 | row[2] << 16 | row[3]
            values = {"stamp": stamp, **{f"value.{number}": value for number, value in enumerate(row[4:], 1)}}
            mqtt.publish(f"bare/{place}", json.dumps(values))
            count += 1
        lag = max(lag, time.monotonic() - due)
        due += period
    found = Bare(count, time.monotonic() - begun, _cpu_s() - used, lag)
    mqtt.disconnect()
    mqtt.loop_stop()
    return found


def _main() -> None:
    kind, numbers = sys.argv[1], [float(text) for text in sys.argv[2:]]
    port, devices, registers = (int(number) for number in numbers[:3])
    if kind == "poll":
        import uvloop

        found = uvloop.run(_poll(port, devices, registers, *numbers[3:5]))
    else:
        found = _publish(port, devices, registers, numbers[3], numbers[4], int(numbers[5]))
    sys.stdout.write(json.dumps(vars(found)))


if __name__ == "__main__":
    _main()
