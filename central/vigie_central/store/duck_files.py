"""Parquet files of the history: what belongs to the store, how hot rows become a file.

A file counts from the transaction that registers it and takes its rows out of the hot table; a file that
no transaction registered is what a dead compaction left, and is removed at the next start.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb

from vigie_central.store.duck_schema import MARK_SCHEMA, SAMPLE_COLUMNS, table
from vigie_central.store.history import FIRST_INDEX
from vigie_protocols.ranges import IndexSet

FEW_FILES = 8
"""So many small files are rewritten into one."""

NEWEST = (
    "SELECT * FROM (FROM newest UNION ALL FROM hot) "
    "QUALIFY row_number() OVER (PARTITION BY point ORDER BY utc_ms DESC, epoch DESC, idx DESC) = 1"
)
"""The newest row of every point: of the last compaction and of what came since."""

COUNTED = (
    "SELECT gateway, sum(n)::BIGINT AS n FROM (SELECT gateway, samples AS n FROM archived UNION ALL "
    "SELECT p.gateway, count(*) FROM hot JOIN points p ON p.id = hot.point GROUP BY 1) GROUP BY 1"
)
"""Samples per gateway, in files and hot."""


def _folder(directory: Path) -> Path:
    return directory / "parquet"


def roll_back(db: Any) -> None:
    """Leave a failed transaction; a commit that failed has left it already."""
    with suppress(duckdb.TransactionException):
        db.execute("ROLLBACK")


def remove_orphans(db: Any, directory: Path) -> None:
    """Remove files that no transaction registered."""
    folder = _folder(directory)
    folder.mkdir(exist_ok=True)
    known = {name for (name,) in db.execute("SELECT name FROM files").fetchall()}
    for path in folder.iterdir():
        if path.name not in known:
            path.unlink()


def source(db: Any, directory: Path, start_ms: int | None, end_ms: int | None) -> str:
    """SQL for all rows that may lie within [start, end): the hot table and the files whose span meets it."""
    rows = db.execute(
        "SELECT name FROM files WHERE ($start IS NULL OR last_ms >= $start) "
        "AND ($end IS NULL OR first_ms < $end)",
        {"start": start_ms, "end": end_ms},
    ).fetchall()
    if not rows:
        return "hot"
    return f"(FROM hot UNION ALL FROM read_parquet({_listed(directory, [name for (name,) in rows])}))"


def _listed(directory: Path, names: list[str]) -> str:
    paths = (str(_folder(directory) / name).replace("'", "''") for name in names)
    return "[" + ", ".join(f"'{path}'" for path in paths) + "]"


def compact(db: Any, directory: Path, *, small: int, sets: Mapping[tuple[str, int], IndexSet]) -> int:
    """Write the hot rows, and small files once there are many, to one sorted file; gives the rows written."""
    few = [name for (name,) in db.execute("SELECT name FROM files WHERE rows < ?", [2 * small]).fetchall()]
    merged = few if len(few) >= FEW_FILES else []
    rows = "hot" if not merged else f"(FROM hot UNION ALL FROM read_parquet({_listed(directory, merged)}))"
    count, first, last = db.execute(f"SELECT count(*), min(utc_ms), max(utc_ms) FROM {rows}").fetchone()
    if not count:
        return 0
    number = max((int(path.stem) for path in _folder(directory).glob("*.parquet")), default=0) + 1
    path = _folder(directory) / f"{number:08d}.parquet"
    target = str(path).replace("'", "''")
    db.execute(
        f"COPY (SELECT * FROM {rows} ORDER BY point, utc_ms) TO '{target}' "
        "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 100000)"
    )
    _sync(path)
    _sync(path.parent)
    db.execute("BEGIN")
    try:
        db.execute("INSERT INTO files VALUES (?, ?, ?, ?)", [path.name, count, first, last])
        for name in merged:
            db.execute("DELETE FROM files WHERE name = ?", [name])
        db.execute(f"CREATE OR REPLACE TEMP TABLE kept AS {NEWEST}")
        db.execute("DELETE FROM newest")
        db.execute("INSERT INTO newest FROM kept")
        db.execute(f"CREATE OR REPLACE TEMP TABLE counted AS {COUNTED}")
        db.execute("DELETE FROM archived")
        db.execute("INSERT INTO archived FROM counted")
        # A new empty table instead of a delete: the rows' blocks are free at once.
        db.execute("DROP TABLE hot")
        db.execute(f"CREATE TABLE hot({SAMPLE_COLUMNS})")
        _rewrite_marks(db, sets)
        db.execute("COMMIT")
    except duckdb.Error:
        roll_back(db)
        raise
    db.execute("CHECKPOINT")
    for name in merged:
        (_folder(directory) / name).unlink(missing_ok=True)
    return int(count)


def _rewrite_marks(db: Any, sets: Mapping[tuple[str, int], IndexSet]) -> None:
    """Many small settled ranges become few; lost ranges stay as they are, for the count."""
    db.execute("CREATE OR REPLACE TEMP TABLE lost AS FROM marks WHERE lost")
    lost: dict[tuple[str, int], IndexSet] = {}
    for gateway, epoch, low, high, _ in db.execute("FROM lost").fetchall():
        lost.setdefault((gateway, epoch), IndexSet(FIRST_INDEX)).add_range(low, high)
    columns: list[list[Any]] = [[], [], [], [], []]
    for (gateway, epoch), known in sets.items():
        holes = lost.get((gateway, epoch), IndexSet(FIRST_INDEX))
        spans = [*known.ranges()]
        if known.through >= known.first:
            spans.insert(0, (known.first, known.through))
        for low, high in spans:
            for start, end in _without(low, high, holes):
                for column, cell in zip(columns, (gateway, epoch, start, end, False), strict=True):
                    column.append(cell)
    db.execute("DELETE FROM marks")
    db.execute("INSERT INTO marks FROM lost")
    db.register("batch", table(MARK_SCHEMA, columns))
    db.execute("INSERT INTO marks SELECT * FROM batch")
    db.unregister("batch")


def _without(low: int, high: int, holes: IndexSet) -> list[tuple[int, int]]:
    """The parts of low..high outside ``holes``."""
    parts = []
    spans = [*holes.ranges()]
    if holes.through >= holes.first:
        spans.insert(0, (holes.first, holes.through))
    for start, end in spans:
        if end < low or start > high:
            continue
        if start > low:
            parts.append((low, start - 1))
        low = end + 1
    if low <= high:
        parts.append((low, high))
    return parts


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
