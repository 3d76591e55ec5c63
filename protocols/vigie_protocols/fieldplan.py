"""What a gateway will ask of its devices, as rows for people (``vigie-edge plan``)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from vigie_protocols.driver import DevicePoints, devices_of
from vigie_protocols.gateway import Configuration, Link
from vigie_protocols.modbus.planner import READ, costs_of, plan
from vigie_protocols.modbus.writes import WriteRequest, write_requests
from vigie_protocols.mqtt.topics import full_topic, mqtt_address, topics_of
from vigie_protocols.opcua.nodes import nodes_of


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One request, node or topic.

    points: how many points it carries; every_s: seconds between two of them, 0 when the device speaks by itself
    and for writes, which go out when something changes; spare: registers or coils that are read though no point
    needs them. writes: what goes out when every output changes at once, such as to its safe value; of fewer
    changes only the parts that changed.
    """

    link: str
    device: str
    request: str
    points: int
    every_s: float
    spare: int = 0
    writes: bool = False


def plan_rows(configuration: Configuration) -> list[PlanRow]:
    """The whole plan of a gateway, in the order of its links."""
    rows: list[PlanRow] = []
    for name, link in configuration.gateway.links.items():
        devices = devices_of(configuration, name)
        if link.protocol == "modbus":
            rows.extend(_modbus(name, link, devices))
            rows.extend(_modbus_writes(name, devices))
        elif link.protocol == "opcua":
            rows.extend(_opcua(name, link, devices))
        else:
            rows.extend(_mqtt(name, devices))
            rows.extend(_mqtt_writes(name, devices))
    return rows


def _modbus(name: str, link: Link, devices: list[DevicePoints]) -> Iterator[PlanRow]:
    for row in devices:
        limits = row.profile.limits
        for block in plan(row.device.name, row.device.unit, row.points, limits, costs_of(link, limits)):
            last = block.start + block.count - 1
            request = f"function {READ[block.table]}, {block.table} {block.start} to {last}"
            spare = block.count - block.used
            yield PlanRow(name, row.device.name, request, len(block.points), block.rate_s, spare)


def _modbus_writes(name: str, devices: list[DevicePoints]) -> Iterator[PlanRow]:
    for row in devices:
        outputs = [(index, decl, decl.safe) for index, decl in row.points if decl.safe is not None]
        for one in write_requests([each for each in outputs if each[1].writable], row.profile.limits)[0]:
            yield PlanRow(name, row.device.name, _told(one), len(one.places), 0.0, writes=True)


def _told(request: WriteRequest) -> str:
    if not request.pdu:
        return f"functions 3 and 6, holding {request.address}: read, changed, written"
    function, start, count = struct.unpack_from(">BHH", request.pdu)
    table = "coil" if function in (5, 15) else "holding"
    last = f" to {start + count - 1}" if function in (15, 16) and count > 1 else ""
    return f"function {function}, {table} {start}{last}"


def _opcua(name: str, link: Link, devices: list[DevicePoints]) -> Iterator[PlanRow]:
    how = "monitored" if link.publishing_s else "read"
    for node in nodes_of(devices):
        sampled = node.rate_s if link.sampling_s is None else link.sampling_s
        every = max(sampled, link.publishing_s)
        yield PlanRow(name, node.device, f"{how} {node.node}", len(node.indices), every)
    written = [node for node in nodes_of(devices) if node.writable]
    if written:
        points = sum(decl.writable for node in written for decl in node.decls)
        told = f"one Write of {len(written)} nodes" if len(written) > 1 else f"Write {written[0].node}"
        yield PlanRow(
            name, ", ".join(dict.fromkeys(node.device for node in written)), told, points, 0.0, 0, True
        )


def _mqtt(name: str, devices: list[DevicePoints]) -> Iterator[PlanRow]:
    for topic, group in topics_of(devices).items():
        for one in group:
            yield PlanRow(name, one.device, f"subscribed {topic}", len(one.indices), 0.0)


def _mqtt_writes(name: str, devices: list[DevicePoints]) -> Iterator[PlanRow]:
    for row in devices:
        topics: dict[str, int] = {}
        for _, decl in row.points:
            topic = mqtt_address(decl).command_topic if decl.writable and decl.address is not None else None
            if topic is not None:
                topics[topic] = topics.get(topic, 0) + 1
        for topic, points in topics.items():
            where = f"published {full_topic(row.device.prefix, topic)}"
            yield PlanRow(name, row.device.name, where, points, 0.0, 0, True)
