"""Edge nodes, and what they say, for the tests; read with the bare protobuf classes and not with our codec."""

from collections.abc import Callable

from vigie_protocols.sparkplug import sparkplug_b_pb2 as pb
from vigie_protocols.sparkplug.actions import EdgeAction, Publish
from vigie_protocols.sparkplug.codec import SparkplugB
from vigie_protocols.sparkplug.edge import EdgeConfig, EdgeNode
from vigie_protocols.sparkplug.model import DataType, Metric, Payload
from vigie_protocols.sparkplug.state import HostState, encode_state

T0 = 1_800_000_000_000
NODE = [Metric("uptime", 12, DataType.UINT64), Metric("Vigie/Event", None, DataType.STRING)]
DEVICES = {
    "jct-a": [Metric("phase", 2, DataType.INT32, timestamp=T0 - 7), Metric("fault", False, DataType.BOOLEAN)],
    "jct-b": [Metric("flow", 1.5, DataType.DOUBLE), Metric("spare", None, DataType.FLOAT)],
}
TOPIC = "spBv1.0/city/{}/gw-1"
STATE = "spBv1.0/STATE/scada"


class Checks(dict[str, Callable[[], None]]):
    """A check by the assertion id that it proves; one check may prove several."""

    def asserts(self, *ids: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
        def keep(check: Callable[[], None]) -> Callable[[], None]:
            for name in ids:
                assert name not in self, name
                self[name] = check
            return check

        return keep


def edge(primary: str = "", **changes: object) -> EdgeNode:
    return EdgeNode(EdgeConfig("city", "gw-1", primary_host=primary, **changes), NODE, DEVICES)  # type: ignore[arg-type]


def parse(action: EdgeAction) -> pb.Payload:
    assert isinstance(action, Publish)
    return pb.Payload.FromString(action.payload)


def sent(actions: list[EdgeAction]) -> list[Publish]:
    return [action for action in actions if isinstance(action, Publish)]


def verb(action: Publish) -> str:
    return action.topic.split("/")[2]


def born() -> tuple[EdgeNode, list[EdgeAction]]:
    node = edge()
    node.will(T0)
    return node, node.connected(T0)


def session() -> list[Publish]:
    """A long session: births, data, a device lost and found, a rebirth, data, the end."""
    node, actions = born()
    out = sent(actions)
    for step in range(300):
        now = T0 + step
        if step % 2:
            out += sent(node.data("jct-a", [Metric("phase", step % 8)], now))
            out += sent(node.data("", [Metric("uptime", step)], now))
        else:  # the short way, which most live data take
            for device, name in (("jct-a", "phase"), ("", "uptime")):
                actions = node.current(device, [name], [step % 8], now, now)
                assert actions is not None
                out += sent(actions)
    out += sent(node.device_lost("jct-b", T0 + 400)) + sent(node.device_back("jct-b", T0 + 500))
    out += sent(node.received(TOPIC.format("NCMD"), rebirth_request(), T0 + 600))
    out += sent(node.data("jct-b", [Metric("flow", 2.5)], T0 + 700))
    return out + sent(node.stop(T0 + 800))


def rebirth_request() -> bytes:
    return SparkplugB().encode(Payload((Metric("Node Control/Rebirth", True, DataType.BOOLEAN),), T0))


def bdseq(payload: pb.Payload) -> int:
    (metric,) = [metric for metric in payload.metrics if metric.name == "bdSeq"]
    assert metric.datatype == DataType.INT64
    return metric.long_value


def state(online: bool, timestamp: int) -> bytes:
    return encode_state(HostState(online, timestamp))


def waiting() -> EdgeNode:
    node = edge("scada")
    node.will(T0)
    assert sent(node.connected(T0)) == []
    return node
