"""A Sparkplug B 3.0 edge node as a pure state machine: no socket, no clock.

The host of this machine connects with ``will()``, then calls ``connected``, ``received`` and
``disconnected`` as they happen and carries out the actions they return, in order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vigie_protocols.sparkplug.actions import EdgeAction, Publish
from vigie_protocols.sparkplug.model import Codec, Metric


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """Who this node is. ``primary_host``: wait for this host's STATE before birth; empty for none."""

    group: str
    node: str
    primary_host: str = ""
    writable: bool = True
    extra_subscriptions: tuple[tuple[str, int], ...] = ()


class EdgeNode:
    """The node. All times are UTC milliseconds."""

    def __init__(
        self,
        config: EdgeConfig,
        node_metrics: Sequence[Metric],
        devices: Mapping[str, Sequence[Metric]],
        codec: Codec | None = None,
        first_bdseq: int = 0,
    ) -> None:
        """``node_metrics`` and ``devices``: every metric ever used, with name, datatype and value or None."""

    def will(self, now: int) -> Publish:
        """The NDEATH for the next CONNECT; counts bdSeq up, so ask once per CONNECT."""
        ...

    def connected(self, now: int) -> list[EdgeAction]:
        """CONNACK came: subscriptions, then births (or the wait for the primary host)."""
        ...

    def disconnected(self) -> list[EdgeAction]:
        """The connection is gone."""
        ...

    def received(self, topic: str, payload: bytes, now: int) -> list[EdgeAction]:
        """A message of the namespace (NCMD, DCMD, STATE) came."""
        ...

    def data(self, device: str, metrics: Sequence[Metric], now: int) -> list[EdgeAction]:
        """Publish samples of a device, or of the node when ``device`` is empty.

        metrics: by name (alias and datatype are filled in). Raises LinkDown when not born; the caller
        keeps the record. Values that are not historical become the ones of the next birth.
        """
        ...

    def device_lost(self, device: str, now: int) -> list[EdgeAction]:
        """The device is gone: DDEATH."""
        ...

    def device_back(self, device: str, now: int, metrics: Sequence[Metric] | None = None) -> list[EdgeAction]:
        """The device answers again (or is new, or declares other metrics): DBIRTH."""
        ...

    def rebirth(self, now: int) -> list[EdgeAction]:
        """NBIRTH and all DBIRTHs again, with the same bdSeq."""
        ...

    def stop(self, now: int) -> list[EdgeAction]:
        """Leave on purpose: NDEATH, then DISCONNECT."""
        ...

    @property
    def born(self) -> bool:
        """True when data may be sent."""
        ...
