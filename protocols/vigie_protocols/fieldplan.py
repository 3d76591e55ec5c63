"""What a gateway will ask of its devices, as rows for people (``vigie-edge plan``)."""

from collections.abc import Iterator
from dataclasses import dataclass

from vigie_protocols.driver import DevicePoints, devices_of
from vigie_protocols.gateway import Configuration, Link
from vigie_protocols.modbus.planner import READ, costs_of, plan
from vigie_protocols.mqtt.topics import topics_of
from vigie_protocols.opcua.nodes import nodes_of


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One request, node or topic.

    points: how many points its answer carries; every_s: seconds between two of them, 0 when the device
    speaks by itself; spare: registers or coils that are read though no point needs them.
    """

    link: str
    device: str
    request: str
    points: int
    every_s: float
    spare: int = 0


def plan_rows(configuration: Configuration) -> list[PlanRow]:
    """The whole plan of a gateway, in the order of its links."""
    rows: list[PlanRow] = []
    for name, link in configuration.gateway.links.items():
        devices = devices_of(configuration, name)
        if link.protocol == "modbus":
            rows.extend(_modbus(name, link, devices))
        elif link.protocol == "opcua":
            rows.extend(_opcua(name, link, devices))
        else:
            rows.extend(_mqtt(name, devices))
    return rows


def _modbus(name: str, link: Link, devices: list[DevicePoints]) -> Iterator[PlanRow]:
    for row in devices:
        limits = row.profile.limits
        for block in plan(row.device.name, row.device.unit, row.points, limits, costs_of(link, limits)):
            last = block.start + block.count - 1
            request = f"function {READ[block.table]}, {block.table} {block.start} to {last}"
            spare = block.count - block.used
            yield PlanRow(name, row.device.name, request, len(block.points), block.rate_s, spare)


def _opcua(name: str, link: Link, devices: list[DevicePoints]) -> Iterator[PlanRow]:
    how = "monitored" if link.publishing_s else "read"
    for node in nodes_of(devices):
        sampled = node.rate_s if link.sampling_s is None else link.sampling_s
        every = max(sampled, link.publishing_s)
        yield PlanRow(name, node.device, f"{how} {node.node}", len(node.indices), every)


def _mqtt(name: str, devices: list[DevicePoints]) -> Iterator[PlanRow]:
    for topic, group in topics_of(devices).items():
        for one in group:
            yield PlanRow(name, one.device, f"subscribed {topic}", len(one.indices), 0.0)
