"""``vigie-edge run --single``: the same parts in one process, on the heap, for development and cheap simulation.

Field, control, recorder, uplink and the command socket are those of the agent of several processes; here they take
turns on one event loop, so nothing protects one from another, and nothing is real time.
"""

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Coroutine
from typing import Any

from vigie_edge import clock
from vigie_edge.local import LocalDesk
from vigie_edge.memory.doorbell import Doorbell
from vigie_edge.metrics import MetricsPort
from vigie_edge.processes.alone import alone, retire
from vigie_edge.processes.control import PacedControl, WallControl
from vigie_edge.processes.field_paced import PacedField
from vigie_edge.processes.field_wall import WallField
from vigie_edge.processes.recorder import Recorder
from vigie_edge.processes.stop import leave_in_order
from vigie_edge.processes.supervisor import KINDS, agent_status
from vigie_edge.processes.uplink import Uplink
from vigie_edge.wiring import Wiring

_TURN_S = 0.02
"""How often what has no bell of its own is looked after."""


class Single:
    """All parts of one agent. wiring: with a heap and bells of its own."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self._started = clock.monotonic()
        self._field = PacedField(wiring) if wiring.paced else WallField(wiring)
        self._paced = PacedControl(wiring) if wiring.paced else None
        self._wall = None if wiring.paced else WallControl(wiring)
        self._recorder = Recorder(wiring)
        self._uplink = None if wiring.plan.gateway.uplink is None else Uplink(wiring)
        self._board = wiring.board()
        self._desk = LocalDesk(wiring, self.status)
        self._metrics = MetricsPort(wiring, self.status)
        self._heard: dict[int, asyncio.Event] = {}

    def status(self) -> dict[str, object]:
        """What local people are shown."""
        row: dict[str, object] = {
            "pid": os.getpid(),
            "restarts": 0,
            "adopted": False,
            "last_exit": "",
            "up_s": round(clock.monotonic() - self._started, 1),
        }
        return agent_status(self.wiring, self._board, {"single": row})

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, or until the simulator ends a lock-step run."""
        loop = asyncio.get_running_loop()
        bells = self.wiring.bells
        for bell in (bells.control, bells.recorder, bells.uplink, bells.supervisor):
            self._listen(loop, bell)
        field = asyncio.create_task(self._field.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, field.cancel)
        others = [self._control(), self._record(), self._serve(), self._send()]
        tasks = [asyncio.create_task(one) for one in others]
        try:
            await self._until_first_ends(field, tasks)
        finally:
            await _ended(field)
            for task in tasks:
                await _ended(task)
            self._recorder.close()
            if self._uplink is not None:
                self._uplink.last_words()
            self._desk.close()
            self._metrics.close()
            leave_in_order()

    async def _until_first_ends(self, field: "asyncio.Task[None]", tasks: "list[asyncio.Task[None]]") -> None:
        """Field ends when told to, or with the lock-step run; no other part ever should, unless it fails."""
        done, _ = await asyncio.wait([field, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled():
                task.result()

    def _listen(self, loop: asyncio.AbstractEventLoop, bell: Doorbell) -> None:
        event = self._heard[bell.fd] = asyncio.Event()

        def heard() -> None:
            bell.answer()
            event.set()

        loop.add_reader(bell.fd, heard)

    async def _rung(self, bell: Doorbell, seconds: float) -> bool:
        """Wait for a ring at most ``seconds``; True when it rang."""
        event = self._heard[bell.fd]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), max(0.0, seconds))
        rang = event.is_set()
        event.clear()
        return rang

    # -- the parts' turns ----------------------------------------------------------------------------

    async def _control(self) -> None:
        bell = self.wiring.bells.control
        if self._paced is not None:
            self._paced.begin()
            while True:
                await self._rung(bell, self._paced.rest())
                self._paced.turn()
        if self._wall is not None:
            self._wall.begin()
            while True:
                self._wall.turn(await self._rung(bell, self._wall.rest()))

    async def _record(self) -> None:
        recorder = self._recorder
        while True:
            until = clock.monotonic() + recorder.commit_s
            while not recorder.pressed and (rest := until - clock.monotonic()) > 0:
                await self._rung(self.wiring.bells.recorder, rest)  # let a group gather
            recorder.turn()

    async def _send(self) -> None:
        uplink, bell = self._uplink, self.wiring.bells.uplink
        if uplink is None:
            await asyncio.Event().wait()
            return
        while not uplink.ready():
            await self._rung(bell, _TURN_S)
        uplink.link.start()
        while True:
            uplink.turn(bell.fd, 0.0)
            await self._rung(bell, _TURN_S)

    async def _serve(self) -> None:
        while True:
            waited = [*self._desk.sockets(), *self._metrics.sockets()]
            ready, _, _ = select.select(waited, [], [], 0)
            self._desk.serve(ready)
            self._metrics.serve(ready)
            await self._rung(self.wiring.bells.supervisor, _TURN_S)


async def _ended(task: "asyncio.Task[None]") -> None:
    """Cancel a task and let it leave in order; what it failed of has been told already."""
    task.cancel()
    await asyncio.wait([task])


def run_single(wiring: Wiring) -> None:
    """The whole life of an agent in one process; nobody else runs on its directory meanwhile."""
    import uvloop

    with contextlib.ExitStack() as held:
        for name in KINDS:
            retire(wiring.runtime, name)
            held.enter_context(alone(wiring.runtime, name))
        main: Coroutine[Any, Any, None] = _main(wiring)
        uvloop.run(main)


async def _main(wiring: Wiring) -> None:
    await Single(wiring).run()
