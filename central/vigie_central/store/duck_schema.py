"""Tables of the hot store and how values are laid out in them.

A value is a number in ``num`` or a text in ``txt``; ``kind`` tells which Python type it was. Whole
numbers beyond 2**53, which a double cannot hold, keep their digits in ``txt`` as well.
"""

from typing import Any

import pyarrow as pa

from vigie_central.store.history import Value

LAYOUT = 1
"""Number of this layout; a store with a newer one is refused."""

NULL, BOOL, INT, FLOAT, STRING = range(5)
EXACT = 2**53

SAMPLE_COLUMNS = (
    "point INTEGER, utc_ms BIGINT, num DOUBLE, txt VARCHAR, kind UTINYINT, quality UTINYINT, "
    "epoch UBIGINT, idx UBIGINT"
)

TABLES = (
    "CREATE TABLE IF NOT EXISTS layout(number INTEGER)",
    "CREATE TABLE IF NOT EXISTS points(id INTEGER, gateway VARCHAR, name VARCHAR)",
    f"CREATE TABLE IF NOT EXISTS hot({SAMPLE_COLUMNS})",
    f"CREATE TABLE IF NOT EXISTS newest({SAMPLE_COLUMNS})",
    "CREATE TABLE IF NOT EXISTS marks(gateway VARCHAR, epoch UBIGINT, lo UBIGINT, hi UBIGINT, lost BOOLEAN)",
    "CREATE TABLE IF NOT EXISTS events(seq BIGINT, gateway VARCHAR, utc_ms BIGINT, kind VARCHAR, "
    "what VARCHAR, body VARCHAR, epoch UBIGINT, idx UBIGINT)",
    "CREATE TABLE IF NOT EXISTS files(name VARCHAR, rows BIGINT, first_ms BIGINT, last_ms BIGINT)",
    "CREATE TABLE IF NOT EXISTS archived(gateway VARCHAR, samples BIGINT)",
)

SAMPLE_SCHEMA = pa.schema(
    [
        ("point", pa.int32()),
        ("utc_ms", pa.int64()),
        ("num", pa.float64()),
        ("txt", pa.string()),
        ("kind", pa.uint8()),
        ("quality", pa.uint8()),
        ("epoch", pa.uint64()),
        ("idx", pa.uint64()),
    ]
)
STORED = (
    f"point, utc_ms, CASE WHEN kind IN ({BOOL}, {INT}, {FLOAT}) THEN num END, txt, kind, quality, epoch, idx"
)
"""The columns of a batch as they are stored: a batch fills ``num`` with anything where there is no number."""
POINT_SCHEMA = pa.schema([("id", pa.int32()), ("gateway", pa.string()), ("name", pa.string())])
MARK_SCHEMA = pa.schema(
    [
        ("gateway", pa.string()),
        ("epoch", pa.uint64()),
        ("lo", pa.uint64()),
        ("hi", pa.uint64()),
        ("lost", pa.bool_()),
    ]
)
EVENT_SCHEMA = pa.schema(
    [
        ("seq", pa.int64()),
        ("gateway", pa.string()),
        ("utc_ms", pa.int64()),
        ("kind", pa.string()),
        ("what", pa.string()),
        ("body", pa.string()),
        ("epoch", pa.uint64()),
        ("idx", pa.uint64()),
    ]
)


def lay(value: Value) -> tuple[float | None, str | None, int]:
    """A value as (num, txt, kind)."""
    if value is None:
        return None, None, NULL
    if isinstance(value, bool):
        return float(value), None, BOOL
    if isinstance(value, float):
        return value, None, FLOAT
    if isinstance(value, int):
        return float(value), (str(value) if abs(value) > EXACT else None), INT
    return None, value, STRING


def read(num: float | None, txt: str | None, kind: int) -> Value:
    """The value that ``lay`` laid out."""
    if kind == FLOAT:
        return num
    if kind == STRING:
        return txt
    if kind == NULL or num is None:
        return None
    if kind == BOOL:
        return bool(num)
    return int(txt) if txt is not None else int(num)


def table(schema: pa.Schema, columns: list[list[Any]]) -> pa.Table:
    """An Arrow table of ``columns`` under ``schema``."""
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)
