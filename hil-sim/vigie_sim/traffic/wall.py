"""Wall-clock mode: the same field, paced by the clock, for gateways that run on their own."""

import asyncio
import time

from vigie_sim.traffic.field import TrafficField


async def serve(field: TrafficField, stop: asyncio.Event, *, speed: float = 1.0) -> None:
    """Step the field in real time (times ``speed``) until its end or until ``stop`` is set.

    Rigs must have been started. Late steps are not skipped: physics falls behind rather than jump.
    """
    loop = asyncio.get_running_loop()
    step = field.plant.step_s
    begun = loop.time() - field.plant.now / speed
    while not stop.is_set() and field.plant.now + step <= field.plant.duration + 1e-9:
        now = field.plant.now
        utc = time.time()
        for rig in field.rigs:
            await rig.refresh(now, utc)
        due = begun + (now + step) / speed
        try:
            await asyncio.wait_for(stop.wait(), max(0.0, due - loop.time()))
        except TimeoutError:
            field.step(now + step)
