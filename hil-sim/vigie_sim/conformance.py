"""The conformance of a device: its profile and its simulated twin, through the gateway's own driver.

``Bench`` serves a twin over its real protocol behind a proxy and opens the driver that a gateway would.
``CHECKS`` are what every device must pass unchanged, one after the other; they raise AssertionError, so
that any test runner can use them (``vigie-sim scaffold device`` writes such a test).
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from vigie_protocols.broker import Broker
from vigie_protocols.driver import Change, Driver, WriteResult, devices_of
from vigie_protocols.drivers import make_driver
from vigie_protocols.gateway import load_gateway
from vigie_protocols.points import Quality, Reading, Value
from vigie_protocols.profile import load_profile
from vigie_sim.faults.proxy import Mode, Proxy
from vigie_sim.twin import Twin, gateway_text, make_rig

DEVICE = "device"
EPOCH = 1_800_000_000.0
LINK = ", timeout_s: 0.8, retry: {first_s: 0.05, max_s: 0.2}"
LIMIT_S = 30.0
"""Wall seconds for whatever must happen in the end."""
Readings = Mapping[str, Reading[Value]]


class Bench:
    """A twin on a real server, and a gateway's driver for it; a context manager.

    profile_file: the device's profile. twin: the device. folder: a scratch folder.
    """

    def __init__(self, profile_file: Path, twin: Twin, folder: Path) -> None:
        self.profile = load_profile(profile_file)
        self.twin = twin
        self.now = 0.0
        self._file = profile_file
        self._folder = folder
        self._runner = asyncio.Runner()
        self._stack = contextlib.ExitStack()
        self._ends: list[Callable[[], Coroutine[Any, Any, None]]] = []

    def __enter__(self) -> "Bench":
        self._stack.enter_context(self._runner)
        try:
            broker = ("", 0)
            if self.profile.protocol == "mqtt":
                bus = self._stack.enter_context(Broker(self._folder / "broker"))
                broker = (bus.host, bus.port)
            self._stack.callback(self._end)
            self.rig = make_rig(DEVICE, self.profile, self.twin, broker)
            self._run(self._open())
            self.read_until(lambda _: self.driver.state.up)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _end(self) -> None:
        while self._ends:
            self._run(self._ends.pop()())

    async def _open(self) -> None:
        self._ends.append(self.rig.stop)
        endpoint = await self.rig.start()
        host, _, rest = endpoint.removeprefix("opc.tcp://").partition(":")
        port, slash, path = rest.partition("/")
        self._proxy = Proxy(host, int(port))
        self._ends.append(self._proxy.close)
        before = await self._proxy.start()
        if self.profile.protocol == "opcua":
            before = f"opc.tcp://{before}{slash}{path}"
        file = self._folder / "gateway.yaml"
        text = gateway_text(DEVICE, self.profile, before, self._file.parent, LINK)
        file.write_text(text, encoding="utf-8")
        self.configuration = load_gateway(file)
        self._places = {decl.point: place for place, decl in enumerate(self.configuration.points)}
        loop = asyncio.get_running_loop()
        self.driver: Driver = make_driver(
            "field",
            self.configuration.gateway.links["field"],
            devices_of(self.configuration, "field"),
            lambda answer: None,
            loop.time,
            random.Random(1).random,
        )
        self._ends.append(self.driver.close)
        await self.driver.open()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    # -- what a check does ---------------------------------------------------------------------------

    def step(self, seconds: float = 1.0) -> None:
        """Let the device live for a while."""
        self.now += seconds
        self.twin.step(self.now, seconds)

    def read(self) -> Readings:
        """One tick: the device serves its state, the driver reads every point."""
        readings: Readings = self._run(self._read())
        return readings

    async def _read(self) -> Readings:
        self.now += 1.0
        loop = asyncio.get_running_loop()
        # The driver asks while a published message may still be on its way, as in lock-step.
        asking = asyncio.ensure_future(self.driver.read_all(loop.time(), EPOCH + self.now))
        await self.rig.refresh(self.now, EPOCH + self.now)
        return {
            self.configuration.points[place].point: reading
            for answer in await asking
            for place, reading in answer.readings()
        }

    def read_until(self, wanted: Callable[[Readings], bool]) -> Readings:
        """Ticks until the readings are as wanted; raises AssertionError when they never are."""
        end = self._runner.get_loop().time() + LIMIT_S
        while True:
            readings = self.read()
            if wanted(readings):
                return readings
            told = {point: f"{one.quality.name} {one.value!r}" for point, one in readings.items()}
            expect(self._runner.get_loop().time() < end, f"after {LIMIT_S:g} s still {told}")
            self._run(asyncio.sleep(0.02))

    def write(self, values: Mapping[str, Value]) -> dict[str, WriteResult]:
        """Write points as control would; one result for each, once the device has had them."""
        results: dict[str, WriteResult] = self._run(self._write(values))
        return results

    def command(self, values: Mapping[str, Value]) -> None:
        """Write points until the device has taken them; raises AssertionError when it refuses or never does.

        On a crowded machine an answer may be late, and the driver's word for that is to try again.
        """
        end = self._runner.get_loop().time() + LIMIT_S
        while True:
            failed = {point: one for point, one in self.write(values).items() if not one.ok}
            if not failed:
                return
            late = self._runner.get_loop().time() >= end
            expect(not late and not any(one.permanent for one in failed.values()), f"not taken: {failed}")
            self.read()

    async def _write(self, values: Mapping[str, Value]) -> dict[str, WriteResult]:
        self.rig.commands_seen = 0
        changes = [Change(self._places[point], value, EPOCH + self.now) for point, value in values.items()]
        report = await self.driver.write(changes)
        await self.rig.wait_commands(report.messages.get(DEVICE, 0))
        return dict(zip(values, report.results, strict=True))

    def link(self, mode: Mode) -> None:
        """Let the link pass, refuse, or swallow everything from now on."""

        async def change() -> None:
            self._proxy.mode = mode

        self._run(change())


def expect(condition: bool, told: str) -> None:
    """Raise AssertionError with what was seen."""
    if not condition:
        raise AssertionError(told)


def all_good(readings: Readings) -> bool:
    """Every point of the device has a good value."""
    return all(one.quality is Quality.GOOD for one in readings.values())


def all_bad(readings: Readings) -> bool:
    """No point of the device may be believed."""
    return all(one.quality is Quality.BAD for one in readings.values())


def _shows(bench: Bench) -> Readings:
    readings = bench.read_until(all_good)
    seen, shown = {point: one.value for point, one in readings.items()}, bench.rig.read_values()
    wrong = {point: (seen.get(point), value) for point, value in shown.items() if seen.get(point) != value}
    expect(not wrong, f"read and shown differ: {wrong}")
    return readings


def every_point_is_read_at_its_place(bench: Bench) -> None:
    """Whatever the device holds, the driver reads; no two points share a place by mistake."""
    bench.step()
    _shows(bench)
    for seed in range(3):
        bench.twin.stir(random.Random(seed))
        _shows(bench)


def every_write_arrives_and_alone(bench: Bench) -> None:
    """Each written point comes to what was asked, and no other moves with it; safe values are taken as well."""
    bench.read_until(all_good)
    written = {point: decl for point, decl in bench.twin.decls.items() if decl.writable}
    for seed in range(2):
        sample = Twin(bench.profile)
        sample.stir(random.Random(seed))
        for point in written:
            wanted = {**bench.twin.state, point: sample.state[point]}
            bench.command({point: sample.state[point]})
            expect(bench.twin.state == wanted, f"{point}: {bench.twin.state} in the place of {wanted}")
    safe = {point: decl.safe for point, decl in written.items() if decl.safe is not None}
    if safe:
        bench.command(safe)
        expect({point: bench.twin.state[point] for point in safe} == safe, f"{bench.twin.state} is not safe")
        _shows(bench)


def nothing_unlawful_leaves_the_gateway(bench: Bench) -> None:
    """A read-only point and a value outside the range are refused for good, and the device sees neither."""
    bench.read_until(all_good)
    before = dict(bench.twin.state)
    for point, decl in bench.twin.decls.items():
        beyond = decl.high + 1 if decl.high < float("inf") else None
        tried: Value | None = beyond if decl.writable else decl.zero
        if tried is not None:
            asked = tried if not isinstance(decl.zero, int) else int(tried)
            result = bench.write({point: asked})[point]
            expect(not result.ok and result.permanent, f"{point} = {asked!r} was let through: {result}")
    expect(bench.twin.state == before, f"{bench.twin.state} in the place of {before}")


def a_lost_device_is_bad_and_comes_back(bench: Bench) -> None:
    """Cut off, every point is bad with its last value and writes fail for now; then all is read anew."""
    last = {point: one.value for point, one in _shows(bench).items()}
    bench.link(Mode.REFUSE)
    readings = bench.read_until(all_bad)
    expect(
        {point: one.value for point, one in readings.items()} == last, f"{readings} in the place of {last}"
    )
    for point, decl in bench.twin.decls.items():
        if decl.writable and decl.safe is not None:
            result = bench.write({point: decl.safe})[point]
            expect(not result.ok and not result.permanent, f"{point}: {result} while the device is away")
    bench.twin.stir(random.Random(9))
    bench.link(Mode.PASS)
    _shows(bench)


def a_silent_device_is_bad_and_comes_back(bench: Bench) -> None:
    """A link that keeps its sockets and swallows everything is found out within the time-out."""
    _shows(bench)
    bench.link(Mode.BLACKHOLE)
    bench.read_until(all_bad)
    bench.link(Mode.PASS)
    _shows(bench)


CHECKS: tuple[Callable[[Bench], None], ...] = (
    every_point_is_read_at_its_place,
    every_write_arrives_and_alone,
    nothing_unlawful_leaves_the_gateway,
    a_lost_device_is_bad_and_comes_back,
    a_silent_device_is_bad_and_comes_back,
)
"""What every device must pass unchanged."""
