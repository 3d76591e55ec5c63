"""kill -9 at any time: what was acknowledged is there, nothing is there twice."""

import asyncio
import subprocess
import sys
import textwrap

from vigie_protocols.points import ValueType

POINTS = {"jct": {"count": ValueType.INT, "queue": ValueType.FLOAT}}
NOON = 1_760_000_000_000


async def until(true):
    async with asyncio.timeout(40):
        while not true():
            await asyncio.sleep(0.01)


def test_kill_in_the_middle_of_ingest_loses_nothing_and_doubles_nothing(make_central, make_edge):
    """The edge forgets what is acknowledged, so a single lost row would stay lost."""
    central = make_central("killed").start()
    edges = [make_edge(f"gw-kill-{number}", POINTS) for number in range(3)]
    wanted = 1500

    async def feed(edge):
        while edge.next <= wanted:
            for _ in range(10):
                edge.sample("jct", NOON + 1000 * edge.next, count=edge.next, queue=edge.next / 7)
            await asyncio.sleep(0.005)

    async def script():
        for edge in edges:
            edge.start()
        await until(lambda: all(edge.edge.born for edge in edges))
        feeders = [asyncio.create_task(feed(edge)) for edge in edges]
        for mark in (50, 400, 900):
            await until(lambda mark=mark: edges[0].acked.through >= mark)
            await asyncio.to_thread(central.kill)
            await asyncio.to_thread(central.start)
        await asyncio.gather(*feeders)
        await until(lambda: not any(edge.journal for edge in edges))
        for edge in edges:
            await edge.stop()

    asyncio.run(script())
    counters = central.get("/counters?verify=true")
    assert counters["duplicate_rows"] == 0
    for edge in edges:
        count = counters["gateways"][edge.name]
        assert (count["records_stored"], count["samples_stored"], count["missing"]) == (wanted, 2 * wanted, 0)
    rows = central.get("/history?gateway=gw-kill-0&point=jct/count&from=0&limit=2000")["samples"]
    assert [value for _, value, _ in rows] == list(range(1, wanted + 1))
    central.stop()


def test_a_killed_broker_of_its_own_comes_back_on_the_same_port(make_central):
    central = make_central("own-broker")
    central.broker = "start"
    central.start()
    before = central.ready["broker"]
    pid = _broker_pid(central)
    subprocess.run(["kill", "-9", str(pid)], check=True)
    _wait(lambda: _broker_pid(central) not in (None, pid))
    _wait(lambda: central.call("GET", "/healthz")[0] == 200)
    # A killed coordinator leaves its broker; the next one takes it over.
    central.kill()
    central.start()
    assert central.ready["broker"] == before
    _wait(lambda: central.call("GET", "/healthz")[0] == 200)
    central.stop()
    assert _broker_pid(central) is None


def test_the_embedded_database_starts_where_another_user_was_first(make_central, tmp_path, monkeypatch):
    (tmp_path / ".lockfile").mkdir()  # stands for another user's file: it cannot be opened
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    central = make_central("second-user")
    assert central.enrol("gw-second-user").exists()


def test_a_dead_compaction_leaves_nothing_behind_and_loses_nothing(folder):
    """Killed between the file and the transaction that registers it."""
    program = textwrap.dedent(
        """
        import asyncio, os, sys
        from pathlib import Path
        from vigie_central.store import duck_files
        from vigie_central.store.duck import DuckHistory
        from vigie_central.store.history import Record, Sample

        async def main():
            history = DuckHistory(Path(sys.argv[1]))
            await history.open()
            if sys.argv[2] == "write":
                for index in range(1, 51):
                    await history.commit([Record("gw", 1, index, [Sample("d/p", index, float(index), 2)])])
                duck_files._sync = lambda path: os._exit(9) if path.is_dir() else None
                await history.compact()
            rows = await history.samples("gw", "d/p", 0, 1000, 1000)
            files = sorted(path.name for path in (Path(sys.argv[1]) / "parquet").iterdir())
            print([value for _, value, _ in rows] == [float(n) for n in range(1, 51)], files)
            await history.compact()
            print(len(await history.samples("gw", "d/p", 0, 1000, 1000)), await history.duplicate_rows())
            await history.close()

        asyncio.run(main())
        """
    )
    where = str(folder / "compaction")
    died = subprocess.run([sys.executable, "-c", program, where, "write"], check=False, timeout=60)
    assert died.returncode == 9
    done = subprocess.run(
        [sys.executable, "-c", program, where, "read"], check=True, timeout=60, capture_output=True, text=True
    )
    lines = [line for line in done.stdout.splitlines() if "compacted" not in line]
    assert lines == ["True []", "50 {'gw': 0}"]


def _broker_pid(central):
    import json

    try:
        return json.loads((central.state / "broker" / "broker.json").read_text())["pid"]
    except (OSError, ValueError):
        return None


def _wait(true):
    import time

    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
