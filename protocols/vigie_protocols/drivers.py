"""Which driver serves a link: its library is imported only when a gateway has such a link."""

from collections.abc import Callable, Sequence

from vigie_protocols.driver import Deliver, DevicePoints, Driver
from vigie_protocols.gateway import Link


def make_driver(
    name: str,
    link: Link,
    devices: Sequence[DevicePoints],
    deliver: Deliver,
    clock: Callable[[], float],
    jitter: Callable[[], float],
) -> Driver:
    """The driver for one link; its library is imported only now.

    clock: monotonic seconds, used for arrival times and back-off. jitter: numbers in [0, 1) for back-off.
    """
    if link.protocol == "modbus":
        from vigie_protocols.modbus.client import ModbusDriver

        return ModbusDriver(name, link, devices, deliver, clock, jitter)
    if link.protocol == "opcua":
        from vigie_protocols.opcua.client import OpcUaDriver

        return OpcUaDriver(name, link, devices, deliver, clock, jitter)
    from vigie_protocols.mqtt.client import MqttDriver

    return MqttDriver(name, link, devices, deliver, clock, jitter)
