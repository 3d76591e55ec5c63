"""What a Sparkplug message says, free of any wire format (version 4 will bring another one).

``Metric`` and ``Payload`` are immutable records (msgspec structs: built about five times faster than
frozen dataclasses; make a changed copy with ``msgspec.structs.replace``).
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Protocol

import msgspec

from vigie_protocols.points import Quality, Value, ValueType

MetricValue = bool | int | float | str | bytes | None


class DataType(IntEnum):
    """The data types of Sparkplug B 3.0, by their numbers on the wire (specification, section 6.4.16)."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    DATASET = 16
    BYTES = 17
    FILE = 18
    TEMPLATE = 19
    PROPERTY_SET = 20
    PROPERTY_SET_LIST = 21
    INT8_ARRAY = 22
    INT16_ARRAY = 23
    INT32_ARRAY = 24
    INT64_ARRAY = 25
    UINT8_ARRAY = 26
    UINT16_ARRAY = 27
    UINT32_ARRAY = 28
    UINT64_ARRAY = 29
    FLOAT_ARRAY = 30
    DOUBLE_ARRAY = 31
    BOOLEAN_ARRAY = 32
    STRING_ARRAY = 33
    DATETIME_ARRAY = 34


class Metric(msgspec.Struct, frozen=True, gc=False):
    """One metric of a message.

    name: empty when the message carries the alias alone.
    value: None when the metric is null. Arrays, data sets and templates stay packed, as bytes.
    datatype: a number of DataType; 0 when the message leaves it out (data may, births may not).
    alias: None when there is none. timestamp: UTC milliseconds, None when left out.
    is_historical: the value is not current (backfill). quality: 192 good, 0 bad, 500 stale; None when
    the message says nothing, which means good.
    """

    name: str
    value: MetricValue = None
    datatype: int = 0
    alias: int | None = None
    timestamp: int | None = None
    is_historical: bool = False
    quality: int | None = None

    @property
    def is_null(self) -> bool:
        """True when the metric carries no value."""
        return self.value is None


class Payload(msgspec.Struct, frozen=True):
    """One message.

    timestamp: UTC milliseconds. seq: 0 to 255, None where the message has none (death, commands).
    """

    metrics: tuple[Metric, ...] = ()
    timestamp: int | None = None
    seq: int | None = None


Known = Mapping[int | str, Metric]
"""What a birth said, by alias and by name: fills in the name and data type that data leave out."""


class Codec(Protocol):
    """A wire format of payloads; raises FrameError on what does not follow it or breaks its bounds."""

    def encode(self, payload: Payload, *, lean: bool = False) -> bytes:
        """The bytes of ``payload``.

        lean: for data and commands; leaves out data types, and names where an alias stands.
        """
        ...

    def decode(self, data: bytes, known: Known | None = None) -> Payload:
        """The payload in ``data``; a metric whose alias is not ``known`` keeps an empty name.

        Without a data type (its own or the known one) whole numbers come as they stand on the wire,
        that is without sign.
        """
        ...


QUALITY_BAD = 0
QUALITY_GOOD = 192
QUALITY_STALE = 500
QUALITIES = frozenset((QUALITY_BAD, QUALITY_GOOD, QUALITY_STALE))
"""All that the property ``Quality`` may hold (tck-id-payloads-propertyset-quality-value-value)."""

TO_WIRE_QUALITY: dict[Quality, int] = {
    Quality.GOOD: QUALITY_GOOD,
    Quality.UNCERTAIN: QUALITY_STALE,
    Quality.BAD: QUALITY_BAD,
}
"""A reading's quality on the wire: Sparkplug has no uncertain, its nearest is stale."""

FROM_WIRE_QUALITY: dict[int, Quality] = {
    QUALITY_GOOD: Quality.GOOD,
    QUALITY_STALE: Quality.UNCERTAIN,
    QUALITY_BAD: Quality.BAD,
}

DATATYPE_OF: dict[ValueType, DataType] = {
    ValueType.BOOL: DataType.BOOLEAN,
    ValueType.INT: DataType.INT64,
    ValueType.UINT: DataType.UINT64,
    ValueType.FLOAT: DataType.DOUBLE,
    ValueType.ENUM: DataType.INT32,
    ValueType.STRING: DataType.STRING,
}
"""The data type that carries each type of point."""


def metric_of(
    name: str,
    kind: ValueType,
    value: Value | None,
    timestamp: int,
    quality: Quality = Quality.GOOD,
    *,
    historical: bool = False,
) -> Metric:
    """The metric of one sample: ``timestamp`` in UTC milliseconds; good quality is left out."""
    wire = None if quality is Quality.GOOD else TO_WIRE_QUALITY[quality]
    return Metric(name, value, DATATYPE_OF[kind], None, timestamp, historical, wire)
