"""The field process in lock-step: one grant, one reading of everything, one turn of control, one writing."""

import asyncio
import os

from vigie_edge.memory.image import OutputFrame
from vigie_edge.processes.field import FieldState
from vigie_edge.wiring import Wiring
from vigie_protocols import lockstep
from vigie_protocols.driver import Change
from vigie_protocols.errors import LinkDown
from vigie_protocols.framing import read_frame
from vigie_protocols.points import ClockTrust

READY_S = 10.0
"""Wall seconds to wait for devices before the first tick; what is not there by then starts bad."""


class PacedField:
    """Field paced by a simulator: simulated time is what the grants say, and UTC is trusted."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self._now = 0.0
        self.state = FieldState(wiring, lambda: self._now)
        self.state.trust = ClockTrust.SYNCED
        self._sequence = wiring.output_sequence()
        self._bell = asyncio.Event()
        self._staged = 0

    async def run(self) -> None:
        """Follow the simulator until it stops or its connection ends."""
        host, _, port = self.wiring.lockstep.rpartition(":")
        asyncio.get_running_loop().add_reader(self.wiring.bells.field.fd, self._answer_bell)
        for driver in self.state.drivers.values():
            await driver.open()
        # A device behind a broker shows a tick's state once: be there before the first tick.
        await asyncio.gather(*(driver.ready(READY_S) for driver in self.state.drivers.values()))
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
        except OSError as error:
            raise LinkDown(f"no simulator answers at {self.wiring.lockstep}: {error.strerror}") from error
        gateway = self.wiring.plan.gateway.gateway
        writer.write(lockstep.encode(lockstep.Hello(gateway, self.wiring.plan.layout, os.getpid())))
        watcher = asyncio.create_task(self._tell_staged(writer))
        try:
            while True:
                message = lockstep.decode(await read_frame(reader))
                if not isinstance(message, lockstep.Grant):
                    return
                writer.write(lockstep.encode(await self._turn(message)))
                await writer.drain()
        except LinkDown:
            return
        finally:
            watcher.cancel()
            writer.close()
            for driver in self.state.drivers.values():
                await driver.close()

    def _answer_bell(self) -> None:
        self.wiring.bells.field.answer()
        self._bell.set()

    async def _turn(self, grant: lockstep.Grant) -> lockstep.Done:
        self._now = grant.now
        state = self.state
        reads = [driver.read_all(grant.now, grant.utc) for driver in state.drivers.values()]
        for answers in await asyncio.gather(*reads):
            for answer in answers:
                state.take(answer)
        state.age(grant.now)
        state.watch_links(grant.now, grant.utc)
        state.board.set("field.step_us", round(grant.step_s * 1e6))
        state.publish(grant.tick, grant.now, grant.utc)
        self.wiring.bells.control.ring()
        last = await self._last_frame(grant.tick)
        frames: list[OutputFrame] = []
        for payload in self._sequence.drain(limit=10_000):
            frame = self.wiring.output_codec.unpack(payload)
            if frame.tick == grant.tick:
                if frames and frame.now <= frames[-1].now:
                    frames.clear()  # of a control that was killed within this tick: its successor ran it anew
                frames.append(frame)
        scans = len(frames)
        changes: list[Change] = []
        for frame in frames:
            changes += state.changes(frame.values, grant.utc + frame.now - grant.now, frame.now)
        changes += state.heartbeats(grant.now, grant.utc)
        commands = await state.write(changes) if changes else {}
        state.board.add("field.beat")
        return lockstep.Done(
            grant.tick, scans, last.missed, last.interventions, commands, last.staged, last.applied
        )

    async def _last_frame(self, tick: int) -> OutputFrame:
        """Control's closing frame of this tick; waits for as long as the simulator is willing to."""
        while True:
            found = self.state.outputs.read()
            if found is not None:
                frame = self.wiring.output_codec.unpack(found[1])
                if frame.tick == tick:
                    self._staged = frame.staged
                    return frame
            try:
                await asyncio.wait_for(self._bell.wait(), 1.0)
            except TimeoutError:
                self.wiring.bells.control.ring()  # control may have been started again and missed the ring
            self._bell.clear()

    async def _tell_staged(self, writer: asyncio.StreamWriter) -> None:
        """Between ticks control may stage a bundle: the simulator may be holding a tick back for it."""
        while True:
            await asyncio.sleep(0.02)
            found = self.state.outputs.read()
            if found is None:
                continue
            frame = self.wiring.output_codec.unpack(found[1])
            if frame.staged > self._staged:
                self._staged = frame.staged
                writer.write(lockstep.encode(lockstep.Staged(frame.staged)))
