"""The history store by itself: values, de-duplication, compaction, recovery."""

import asyncio
import contextlib

import pytest

from vigie_central.store.duck import DuckHistory
from vigie_central.store.history import Record, Sample, StoreError


@contextlib.asynccontextmanager
async def opened(path, **more):
    history = DuckHistory(path, **more)
    await history.open()
    try:
        yield history
    finally:
        await history.close()


def record(gateway, epoch, index, value=1.0, **more):
    return Record(gateway, epoch, index, [Sample("d/p", 1000 * index, value, 2)], **more)


def test_values_of_every_type_come_back_as_they_were(tmp_path):
    values = [True, False, 0, -5, 2**53 + 1, -(2**63), 2**64 - 1, 0.1, -1e300, "é\n", "", None]

    async def script():
        for compacted in (False, True):
            async with opened(tmp_path) as history:
                samples = [Sample(f"d/{place}", place, value, 2) for place, value in enumerate(values)]
                await history.commit([Record("gw", 1, 1 + compacted, samples)])
                if compacted:
                    await history.compact()
                for place, value in enumerate(values):
                    for _, back, _ in await history.samples("gw", f"d/{place}", 0, 100, 10):
                        assert (back, type(back)) == (value, type(value))

    asyncio.run(script())


def test_a_key_is_stored_once_within_a_batch_over_batches_and_over_restarts(tmp_path):
    async def script():
        async with opened(tmp_path) as history:
            done = await history.commit([record("gw", 1, 7), record("gw", 1, 7), record("gw", 2, 7)])
            assert (len(done.stored), dict(done.duplicates)) == (2, {"gw": 1})
            await history.compact()
            assert not (await history.commit([record("gw", 1, 7)])).stored
        async with opened(tmp_path) as history:
            assert not (await history.commit([record("gw", 2, 7)])).stored
            assert (await history.totals())["gw"].samples == 2
            assert await history.duplicate_rows() == {"gw": 0}

    asyncio.run(script())


def test_a_failed_commit_keeps_nothing_and_the_next_one_takes_it(tmp_path):
    async def script():
        async with opened(tmp_path) as history:
            await history.commit([record("gw", 1, 3)])
            history._db.execute("ALTER TABLE marks RENAME TO elsewhere")
            with pytest.raises(StoreError):
                await history.commit([record("gw", 1, 1)])
            with pytest.raises(StoreError):  # it may not take up a state that it cannot read either
                await history.commit([record("gw", 1, 1)])
            history._db.execute("ALTER TABLE elsewhere RENAME TO marks")
            done = await history.commit([record("gw", 1, 1), record("gw", 1, 2)])
            assert (await history.totals())["gw"].samples == 3, done
            (settled,) = await history.settled()
            assert (settled.through, list(settled.ranges)) == (3, [])

    asyncio.run(script())


def test_small_files_become_one_sorted_by_point_and_time(tmp_path):
    import duckdb

    async def script():
        async with opened(tmp_path, compact_rows=20) as history:
            for batch in range(12):
                await history.commit([record("gw", 1, 1 + batch * 20 + n, float(n)) for n in range(20)])
            assert (await history.totals())["gw"].samples == 240
            assert len(await history.samples("gw", "d/p", 0, 10**9, 1000)) == 240
            assert len(await history.last()) == 1

    asyncio.run(script())
    files = sorted((tmp_path / "parquet").iterdir())
    assert len(files) < 12
    merged = max(files, key=lambda path: path.stat().st_size)
    rows = duckdb.sql(f"SELECT point, utc_ms FROM read_parquet('{merged}')").fetchall()
    assert rows == sorted(rows)


def test_settled_ranges_survive_compaction_with_losses_in_between(tmp_path):
    async def script():
        async with opened(tmp_path) as history:
            await history.commit([record("gw", 1, n) for n in (1, 2, 5, 6)])
            await history.commit([record("gw", 1, 9, lost=[(1, 2, 4)])])
            await history.compact()
            before = (await history.settled(), await history.totals())
        async with opened(tmp_path) as history:
            assert (await history.settled(), await history.totals()) == before
            (settled,) = before[0]
            assert (settled.through, list(settled.ranges)) == (6, [(9, 9)])
            assert (before[1]["gw"].records, before[1]["gw"].lost) == (5, 2)

    asyncio.run(script())


def test_events_are_numbered_and_paged(tmp_path):
    async def script():
        async with opened(tmp_path) as history:
            for index in range(10):
                body = {"kind": "alarm" if index % 2 else "decision", "n": index}
                await history.commit([Record("gw", 1, index + 1, (), [(index, body)])])
        async with opened(tmp_path) as history:
            newest = await history.events("gw", "alarm", None, 2)
            assert [event.body["n"] for event in newest] == [9, 7]
            older = await history.events("gw", "alarm", newest[-1].seq, 10)
            assert [event.body["n"] for event in older] == [5, 3, 1]

    asyncio.run(script())


def test_a_store_in_use_or_of_a_newer_version_is_refused(tmp_path):
    async def script():
        async with opened(tmp_path / "new") as history:
            history._db.execute("UPDATE layout SET number = 99")
        with pytest.raises(StoreError, match="layout 99"):
            await DuckHistory(tmp_path / "new").open()

    asyncio.run(script())
