"""The protobuf codec of Sparkplug B 3.0.

Fields are set one by one (attribute style), which the C core of protobuf does more than twice as fast as
keyword constructors. Bounds are checked before and after parsing; nothing here keeps state.
"""

from google.protobuf.message import DecodeError, EncodeError

from vigie_protocols.errors import FrameError
from vigie_protocols.sparkplug import sparkplug_b_pb2 as pb
from vigie_protocols.sparkplug.model import (
    QUALITIES,
    QUALITY_BAD,
    DataType,
    Known,
    Metric,
    MetricValue,
    Payload,
)

MAX_PAYLOAD = 4 * 1024 * 1024
MAX_METRICS = 50_000
QUALITY_KEY = "Quality"

# Which field of the message carries the value.
_INT, _LONG, _FLOAT, _DOUBLE, _BOOL, _STRING, _BYTES, _DATASET, _TEMPLATE = range(9)
_NOT_UTF8 = "a text that is not UTF-8"
_FIELD_OF: dict[int, int] = {
    DataType.INT8: _INT,
    DataType.INT16: _INT,
    DataType.INT32: _INT,
    DataType.INT64: _LONG,
    DataType.UINT8: _INT,
    DataType.UINT16: _INT,
    DataType.UINT32: _INT,
    DataType.UINT64: _LONG,
    DataType.FLOAT: _FLOAT,
    DataType.DOUBLE: _DOUBLE,
    DataType.BOOLEAN: _BOOL,
    DataType.STRING: _STRING,
    DataType.DATETIME: _LONG,
    DataType.TEXT: _STRING,
    DataType.UUID: _STRING,
    DataType.DATASET: _DATASET,
    DataType.BYTES: _BYTES,
    DataType.FILE: _BYTES,
    DataType.TEMPLATE: _TEMPLATE,
    **dict.fromkeys(range(DataType.INT8_ARRAY, DataType.DATETIME_ARRAY + 1), _BYTES),
}
_TYPE_OF: dict[int, type] = {
    number: (int, int, float, float, bool, str, bytes, bytes, bytes)[field]
    for number, field in _FIELD_OF.items()
}
_SIGNED: dict[int, int] = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
_UNSIGNED: dict[int, int] = {
    DataType.UINT8: 8,
    DataType.UINT16: 16,
    DataType.UINT32: 32,
    DataType.UINT64: 64,
    DataType.DATETIME: 64,
}


class SparkplugB:
    """Encodes and decodes payloads within bounds (bytes of a payload, metrics in one)."""

    def __init__(self, max_payload: int = MAX_PAYLOAD, max_metrics: int = MAX_METRICS) -> None:
        self._max_payload = max_payload
        self._max_metrics = max_metrics

    def encode(self, payload: Payload, *, lean: bool = False) -> bytes:
        """See ``model.Codec``. FrameError names the metric whose value does not fit its data type."""
        if len(payload.metrics) > self._max_metrics:
            raise FrameError(f"{len(payload.metrics)} metrics, more than the {self._max_metrics} allowed")
        message = pb.Payload()
        metric: Metric | None = None
        try:
            if payload.timestamp is not None:
                message.timestamp = payload.timestamp
            add = message.metrics.add
            for metric in payload.metrics:
                _write(add(), metric, lean)
            metric = None
            if payload.seq is not None:
                message.seq = payload.seq
            data = message.SerializeToString()
        except (TypeError, ValueError, OverflowError, EncodeError, DecodeError, UnicodeError) as why:
            where = f"metric {metric.name or metric.alias!r}: " if metric is not None else ""
            raise FrameError(f"{where}{why}") from why
        if len(data) > self._max_payload:
            raise FrameError(f"a payload of {len(data)} bytes, more than the {self._max_payload} allowed")
        return data

    def decode(self, data: bytes, known: Known | None = None) -> Payload:
        """See ``model.Codec``. A quality other than 0, 192, 500 counts as bad."""
        if len(data) > self._max_payload:
            raise FrameError(f"a payload of {len(data)} bytes, more than the {self._max_payload} allowed")
        try:
            message = pb.Payload.FromString(data)
        except DecodeError as why:
            raise FrameError("not a Sparkplug payload") from why
        metrics = message.metrics
        if len(metrics) > self._max_metrics:
            raise FrameError(f"{len(metrics)} metrics, more than the {self._max_metrics} allowed")
        seq = message.seq if message.HasField("seq") else None
        if seq is not None and seq > 255:
            raise FrameError(f"sequence number {seq} is not 0 to 255")
        read = tuple([_read(wire, known) for wire in metrics])
        return Payload(read, message.timestamp if message.HasField("timestamp") else None, seq)


def _write(wire: pb.Metric, metric: Metric, lean: bool) -> None:
    datatype = metric.datatype
    if metric.alias is None:
        wire.name = metric.name
    else:
        wire.alias = metric.alias
        if not lean and metric.name:
            wire.name = metric.name
    if metric.timestamp is not None:
        wire.timestamp = metric.timestamp
    if not lean:
        wire.datatype = datatype
    if metric.is_historical:
        wire.is_historical = True
    if metric.quality is not None:
        if metric.quality not in QUALITIES:
            raise ValueError(f"quality {metric.quality} is none of 0, 192, 500")
        properties = wire.properties
        properties.keys.append(QUALITY_KEY)
        quality = properties.values.add()
        quality.type = 3
        quality.int_value = metric.quality
    value = metric.value
    if value is None:
        wire.is_null = True
        return
    field = _FIELD_OF.get(datatype)
    if field == _DOUBLE:
        wire.double_value = value  # type: ignore[assignment]
    elif field == _BOOL:
        if value is not True and value is not False:
            raise TypeError(f"{value!r} is not a boolean")
        wire.boolean_value = value
    elif field == _INT:
        wire.int_value = _to_wire(datatype, value) & 0xFFFFFFFF
    elif field == _LONG:
        wire.long_value = _to_wire(datatype, value) & 0xFFFFFFFFFFFFFFFF
    elif field == _STRING:
        wire.string_value = value  # type: ignore[assignment]
    elif field == _FLOAT:
        wire.float_value = value  # type: ignore[assignment]
    elif field is None:
        raise ValueError(f"no data type {datatype}")
    elif not isinstance(value, bytes):
        raise TypeError(f"{value!r} is not bytes")
    elif field == _BYTES:
        wire.bytes_value = value
    elif field == _DATASET:
        wire.dataset_value.ParseFromString(value)
        wire.dataset_value.SetInParent()
    else:
        wire.template_value.ParseFromString(value)
        wire.template_value.SetInParent()


def _to_wire(datatype: int, value: MetricValue) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    bits = _SIGNED.get(datatype)
    if bits is not None:
        half = 1 << (bits - 1)
        if not -half <= value < half:
            raise ValueError(f"{value} is outside {bits} bits with sign")
    elif not 0 <= value < 1 << _UNSIGNED[datatype]:
        raise ValueError(f"{value} is outside {_UNSIGNED[datatype]} bits without sign")
    return value


def _read(wire: pb.Metric, known: Known | None) -> Metric:
    name = wire.name
    alias: int | None = wire.alias
    if not alias and not wire.HasField("alias"):
        alias = None
    datatype = wire.datatype
    if known is not None and not (name and datatype):
        birth = known.get(name if name else alias)  # type: ignore[arg-type]
        if birth is not None:
            name = birth.name
            datatype = datatype or birth.datatype
    field = wire.WhichOneof("value")
    value: MetricValue
    if field is None or wire.is_null:
        value = None
    else:
        if field == "double_value":
            value = wire.double_value
        elif field == "int_value":
            value = _from_wire(datatype, wire.int_value, name)
        elif field == "long_value":
            value = _from_wire(datatype, wire.long_value, name)
        elif field in ("dataset_value", "template_value"):
            value = getattr(wire, field).SerializeToString()
        else:
            value = getattr(wire, field)
        if datatype and type(value) is not _TYPE_OF.get(datatype):
            raise FrameError(f"metric {name!r}: its value is not of data type {datatype}")
        if field == "string_value" and type(value) is not str:
            raise FrameError(_NOT_UTF8)
    # The C core hands over what is not UTF-8 as bytes instead of complaining (proto2).
    if type(name) is not str:
        raise FrameError(_NOT_UTF8)
    return Metric(
        name,
        value,
        datatype,
        alias,
        wire.timestamp or None,
        wire.is_historical,
        _read_quality(wire.properties) if wire.HasField("properties") else None,
    )


def _from_wire(datatype: int, raw: int, name: str) -> int:
    bits = _SIGNED.get(datatype)
    if bits is not None:
        # Peers sign-extend small types to 32 or 64 bits, or do not: both mean the same.
        low = raw & ((1 << bits) - 1)
        signed = low - (1 << bits) if low >> (bits - 1) else low
        if raw != low and raw not in (signed & 0xFFFFFFFF, signed & 0xFFFFFFFFFFFFFFFF):
            raise FrameError(f"metric {name!r}: {raw} is outside {bits} bits")
        return signed
    bits = _UNSIGNED.get(datatype)
    if bits is not None and raw >> bits:
        raise FrameError(f"metric {name!r}: {raw} is outside {bits} bits")
    return raw


def _read_quality(properties: pb.PropertySet) -> int | None:
    for key, value in zip(properties.keys, properties.values, strict=False):
        if key == QUALITY_KEY:
            return value.int_value if value.int_value in QUALITIES and not value.is_null else QUALITY_BAD
    return None
