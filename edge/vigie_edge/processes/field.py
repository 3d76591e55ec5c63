"""The field process: drivers, the image for control, the outputs of control, and what happens without it.

Readings go into columns; whenever some came, the columns are packed into the image for control and the
changes into the ring for the recorder. Output frames of control carry an expiry: when it passes without a
newer frame, this process writes each output's declared safe value from a table compiled at start.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import ne

from vigie_edge.config import FIRST_DEVICE_POINT
from vigie_edge.memory.image import Columns
from vigie_edge.pulses import Pulses
from vigie_edge.records import Note, Readings, Run, encode
from vigie_edge.wiring import RING_WAIT_S, Wiring
from vigie_protocols.driver import Answer, Change, Driver, WriteReport, devices_of
from vigie_protocols.drivers import make_driver
from vigie_protocols.points import CLOCK_TRUST, CLOCK_UTC, NEVER, ClockTrust, Quality, Value, ValueType
from vigie_protocols.telling import Telling

SPANS = 4096
"""Sets of points that are remembered as read together; a plan of block reads has far fewer."""


@dataclass
class Heartbeat:
    """A device's watchdog point that no loop drives. toggles: a boolean; otherwise a counter to 65535."""

    every_s: float
    toggles: bool
    next_at: float = NEVER
    count: int = 0


class FieldState:
    """What wall-clock and lock-step field share: columns, rings, writing."""

    def __init__(self, wiring: Wiring, monotonic: Callable[[], float]) -> None:
        self.wiring = wiring
        self.plan = wiring.plan
        self.columns = Columns(self.plan.table)
        self.image = wiring.inputs(write=True)
        self.outputs = wiring.outputs()
        self.ring = wiring.readings()
        self.board = wiring.board("field")
        self.trust = ClockTrust.UNTRUSTED
        self._runs: list[Run] = []
        self._spans: dict[tuple[int, ...], tuple[int, int] | None] = {}
        self._utc_place = self.plan.table.index[CLOCK_UTC]
        self._trust_place = self.plan.table.index[CLOCK_TRUST]
        self.urgent = {
            FIRST_DEVICE_POINT + place for place, decl in enumerate(self.plan.points) if decl.urgent
        }
        self.urgent_change = False
        self.arrived: Callable[[], None] = lambda: None
        """Called after each answer of a device."""
        self.drivers: dict[str, Driver] = {}
        gateway = self.plan.gateway
        for name, link in gateway.links.items():
            devices = devices_of(self.plan.configuration, name)
            if devices:
                self.drivers[name] = make_driver(name, link, devices, self.take, monotonic, random.random)
        links = {device.name: device.link for device in gateway.devices}
        self._links = [links[decl.device] for decl in self.plan.points]
        self._telling = Telling(self.plan.outputs)
        self._points_of = self.plan.output_points
        self._output_at = {point: place for place, point in enumerate(self._points_of)}
        self._up: dict[str, bool] = {}
        self._beats = self._find_beats()
        self._pulses = Pulses(self.plan.points)

    def _find_beats(self) -> dict[int, "Heartbeat"]:
        places = {decl.name: index for index, decl in enumerate(self.plan.points)}
        driven = {decl.name for decl in self.plan.outputs}
        found = {}
        for device in self.plan.gateway.devices:
            watchdog = self.plan.configuration.profiles[device.profile].watchdog
            name = f"{device.name}/{watchdog.point}" if watchdog and watchdog.point else ""
            if watchdog is not None and name and name not in driven:
                index = places[name]
                found[index] = Heartbeat(watchdog.every_s, self.plan.points[index].type is ValueType.BOOL)
        return found

    def take(self, answer: Answer) -> None:
        """Readings of a driver into the columns; what changed in value or quality also for the ring."""
        indices = answer.indices
        try:
            span = self._spans[indices]
        except KeyError:
            span = self._span(indices)
        if span is not None and answer.quality:
            self._take_span(*span, answer)
        else:
            self._take_each(answer)
        self.arrived()

    def _span(self, indices: tuple[int, ...]) -> tuple[int, int] | None:
        """(first place, end) of points that stand in a row and need no look at each; None for others."""
        if len(self._spans) >= SPANS:
            self._spans.clear()
        first = indices[0] + FIRST_DEVICE_POINT if indices else 0
        places = range(first, first + len(indices))
        watched = self._pulses.watched | self.urgent
        plain = [index + FIRST_DEVICE_POINT for index in indices] == list(places)
        found = (first, places.stop) if plain and watched.isdisjoint(places) else None
        self._spans[indices] = found
        return found

    def _take_span(self, first: int, end: int, answer: Answer) -> None:
        """A block of points at once: ten thousand readings a second go through here."""
        columns = self.columns
        quality, source, arrival = int(answer.quality), answer.source_time, answer.arrival
        values, count = answer.values, end - first
        if columns.quality.count(quality, first, end) == count:
            changed = list(map(ne, columns.values[first:end], values))
            places, news = list(compress(range(first, end), changed)), list(compress(values, changed))
        else:
            places, news = list(range(first, end)), list(values)
            columns.quality[first:end] = bytes((quality,)) * count
        columns.values[first:end] = values
        columns.source[first:end] = [source] * count
        columns.arrival[first:end] = [arrival] * count
        if places:
            self._runs.append((places, news, quality, source, arrival))

    def _take_each(self, answer: Answer) -> None:
        columns = self.columns
        values, qualities, sources, arrivals = (
            columns.values,
            columns.quality,
            columns.source,
            columns.arrival,
        )
        quality, source, arrival = int(answer.quality), answer.source_time, answer.arrival
        pulses = self._pulses.watched
        places: list[int] = []
        for index, value in zip(answer.indices, answer.values, strict=True):
            place = index + FIRST_DEVICE_POINT
            if quality == 0:
                if qualities[place] == 0:
                    continue
                value = values[place]
            elif values[place] == value and qualities[place] == quality:
                sources[place] = source
                arrivals[place] = arrival
                continue
            if place in pulses and quality:
                value = self._pulse(place, value, source, arrival)
            values[place] = value
            qualities[place] = quality
            sources[place] = source
            arrivals[place] = arrival
            places.append(place)
            if place in self.urgent:
                self.urgent_change = True
        if places:
            self._runs.append((places, [values[place] for place in places], quality, source, arrival))

    def _changed(self, place: int, value: Value, quality: int, source: float, arrival: float) -> None:
        self._runs.append(([place], [value], quality, source, arrival))

    def _pulse(self, place: int, value: Value, source: float, arrival: float) -> Value:
        """A point that latches or counts has changed: what to show of it."""
        shown, counter = value, None
        if self._pulses.follows(place):
            counter = self._pulses.counted(place, int(value), self.columns)
        else:
            scans = self.board.get("control.scans")
            shown, counter = self._pulses.changed(place, bool(value), scans, self.columns)
        if counter is not None:
            good = int(Quality.GOOD)
            self._changed(counter, self.columns.values[counter], good, source, arrival)
        return shown

    def _end_pulses(self, now: float) -> None:
        """Pulses that a scan has seen are over; counters are as good as what they count."""
        columns = self.columns
        for place in self._pulses.seen(self.board.get("control.scans")):
            columns.values[place] = False
            self._changed(place, False, columns.quality[place], columns.source[place], now)
        for place, counter in self._pulses.counters():
            columns.quality[counter] = columns.quality[place]
            columns.arrival[counter] = columns.arrival[place]

    def age(self, now: float) -> None:
        """Readings older than their point's limit become bad: a link that says nothing is no link."""
        columns = self.columns
        for index, decl in enumerate(self.plan.points):
            place = index + FIRST_DEVICE_POINT
            if columns.quality[place] and now - columns.arrival[place] > decl.stale_s:
                columns.quality[place] = 0
                self._changed(place, columns.values[place], 0, columns.source[place], columns.arrival[place])

    def publish(self, tick: int, now: float, utc: float) -> None:
        """Close an image for control and tell the recorder what changed."""
        if self._pulses.watched:
            self._end_pulses(now)
        columns = self.columns
        place = self._utc_place
        columns.values[place] = utc
        columns.quality[place] = int(Quality.GOOD if self.trust is ClockTrust.SYNCED else self.trust)
        columns.arrival[place] = now
        place = self._trust_place
        if columns.values[place] != int(self.trust) or not columns.quality[place]:
            columns.values[place] = int(self.trust)
            columns.quality[place] = int(Quality.GOOD)
            self._changed(place, int(self.trust), int(Quality.GOOD), utc, now)
        columns.arrival[place] = now
        self.image.write(self.wiring.image_codec.pack(tick, now, utc, columns))
        self.board.add("field.frames")
        if self._runs:
            self.record(Readings(now, utc, int(self.trust), self._runs))
            self.board.add("field.readings", sum([len(run[0]) for run in self._runs]))
            self._runs = []
            self.wiring.bells.recorder.ring()

    def record(self, record: Readings | Note) -> None:
        """One record for the recorder; in lock-step this may wait for room, elsewhere it is counted as lost."""
        payload = encode(record)
        pushed = self.ring.push_wait(payload, RING_WAIT_S) if self.wiring.paced else self.ring.push(payload)
        if not pushed:
            self.board.add("field.readings_lost")

    def note(self, now: float, utc: float, what: str, subject: str, reason: str) -> None:
        """Tell people something."""
        self.record(Note(now, utc, int(self.trust), what, subject, reason))
        self.wiring.bells.recorder.ring()

    def changes(self, values: Sequence[Value], instant: float, now: float | None = None) -> list[Change]:
        """What of ``values`` is not what the devices were last told, as changes decided at UTC ``instant``.

        now: monotonic instant of control's frame; None for safe values, which every device has to bear.
        """
        return [
            Change(self._points_of[place], value, instant)
            for place, value in self._telling.changed(values, now)
        ]

    def forget_told(self) -> None:
        """Nothing is known of what the devices were told: all of it is to be told again."""
        for place in range(len(self.plan.outputs)):
            self._telling.forget(place)

    async def write(self, changes: Sequence[Change]) -> dict[str, int]:
        """Write changes, all links at once, each link in order; returns messages sent per device."""
        by_link: dict[str, list[Change]] = {}
        for change in changes:
            by_link.setdefault(self._links[change.index], []).append(change)
        reports = await asyncio.gather(*(self.write_link(link, mine) for link, mine in by_link.items()))
        messages: dict[str, int] = {}
        for report in reports:
            for device, count in report.messages.items():
                messages[device] = messages.get(device, 0) + count
        return messages

    def link_of(self, index: int) -> str:
        """The link that carries point ``index``."""
        return self._links[index]

    async def write_link(self, link: str, changes: Sequence[Change]) -> WriteReport:
        """Write changes of one link in order."""
        report = await self.drivers[link].write(changes)
        self._settle(report)
        return report

    def _settle(self, report: WriteReport) -> None:
        for result in report.results:
            self.board.add("field.writes")
            if not result.ok:
                self.board.add("field.write_failures")
                place = self._output_at.get(result.index)
                if place is not None:
                    self._telling.forget(place)

    def watch_links(self, now: float, utc: float) -> None:
        """Note devices that came and went; a device that came back is told everything again."""
        down = 0
        for driver in self.drivers.values():
            down += not driver.state.up
            for name, device in driver.state.devices.items():
                known = self._up.get(name)
                if known == device.up:
                    continue
                self._up[name] = device.up
                if device.up:
                    for place, decl in enumerate(self.plan.outputs):
                        if decl.device == name:
                            self._telling.forget(place)
                if known is not None or not device.up:
                    what = "device-up" if device.up else "device-down"
                    self.note(now, utc, what, name, "answers again" if device.up else device.error)
        self.board.set("field.links_down", down)

    def heartbeats(self, now: float, instant: float) -> list[Change]:
        """The heartbeats that are due and that no loop drives; call only while control's frames come."""
        due = []
        for index, beat in self._beats.items():
            if now >= beat.next_at:
                beat.next_at = now + beat.every_s
                beat.count = (beat.count + 1) & 0xFFFF
                due.append(Change(index, bool(beat.count & 1) if beat.toggles else beat.count, instant))
        return due
