"""The signal domain: binds a junction's roles to points and joins controllers, guard and invariant check."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vigie_controllers.contract import Decision, State
from vigie_controllers.loops import Domain, Observed
from vigie_controllers.signals.checks import check_site
from vigie_controllers.signals.diagnosis import NO_READING
from vigie_controllers.signals.displays import Displays
from vigie_controllers.signals.guard import SignalGuard
from vigie_controllers.signals.invariant import Invariant, flash_lamps
from vigie_controllers.signals.measures.observer import Observer
from vigie_controllers.signals.neighbours import Forecast, read_forecast
from vigie_controllers.signals.sensing import greens
from vigie_controllers.signals.site import SignalSite
from vigie_controllers.signals.spat import spat
from vigie_controllers.signals.words import Frame, PriorityReadings, SignalInputs, SignalWants, Status
from vigie_protocols.points import Reading, Value

COMMANDS = ("hold", "force_off", "omit", "call")
"""What a cabinet takes per phase, role ``phase.<n>.<command>``, in the order of the written values."""


class SignalDomain(Domain[SignalInputs, SignalWants]):
    """A junction.

    Roles read: ``detector.<id>``, ``preempt.<id>``, ``priority.<id>.eta``; optional
    ``priority.<id>.lateness|occupancy``, ``lamp.<channel>`` (all or none), ``monitor.fault``, ``mode``; for a
    cabinet ``phase.<n>.state`` and optional ``ped.<n>.state``, ``cabinet.flash``.
    Roles written: ``channel.<id>`` (lamps) or ``phase.<n>.hold|force_off|omit|call`` and, for phases with
    pedestrians, optional ``phase.<n>.ped_call`` (cabinet); optional ``heartbeat``. ``lamp``, ``state`` and
    ``channel`` points hold ``Lamp`` numbers.
    """

    guard: SignalGuard
    reserved = ("lamps", "heartbeat")

    def __init__(self, site: SignalSite, points: Mapping[str, str]) -> None:
        check_site(site)
        self.site = site
        roles = _Roles(points)
        self._detectors = roles.many(f"detector.{one.id}" for one in site.detectors)
        self._lamps = roles.all_or_none(f"lamp.{one.id}" for one in site.channels)
        self._fault = roles.maybe("monitor.fault")
        self._panel = roles.maybe("mode")
        self._preempts = roles.many(f"preempt.{one.id}" for one in site.preemptions)
        cabinet = site.actuation == "cabinet"
        numbers = [phase.id for phase in site.phases]
        self._states = roles.many(f"phase.{number}.state" for number in numbers) if cabinet else ()
        self._peds = tuple(roles.maybe(f"ped.{number}.state") for number in numbers) if cabinet else ()
        self._flashing = roles.maybe("cabinet.flash") if cabinet else None
        self._priority = tuple(
            (
                roles.many([f"priority.{one.id}.eta"])[0],
                roles.maybe(f"priority.{one.id}.lateness"),
                roles.maybe(f"priority.{one.id}.occupancy"),
            )
            for one in site.priority
        )
        self.reads = tuple(roles.read)
        if cabinet:
            self.writes = roles.written(f"phase.{n}.{command}" for n in numbers for command in COMMANDS)
            walked = [phase.id for phase in site.phases if phase.walk_s > 0]
            self._ped_called = tuple(n for n in walked if f"phase.{n}.ped_call" in points)
            self.writes += roles.written(f"phase.{n}.ped_call" for n in self._ped_called)
        else:
            self._ped_called = ()
            self.writes = roles.written(f"channel.{one.id}" for one in site.channels)
        self._heartbeat = "heartbeat" in points
        if self._heartbeat:
            self.writes += roles.written(["heartbeat"])
        roles.refuse_rest()
        self._numbers = numbers
        self._invariant = Invariant(site)
        self._flash = flash_lamps(site)
        self._readings: Sequence[Reading[Value]] | None = None
        self._frame = Frame(())
        self._outputs: SignalWants | None = None
        self._shown_for: Status | None = None
        self._values: tuple[Value, ...] = ()
        self.guard = SignalGuard(site, self._heartbeat)
        self._displays = Displays(self.guard.plan)
        self._observer = Observer(site, self.guard)
        self.measured = self._observer.names
        self._bound = {one.id: points[f"detector.{one.id}"] for one in site.detectors}
        self._callers = {one.id: points[f"preempt.{one.id}"] for one in site.preemptions}
        self._doubtful: Mapping[str, str] = {}
        self._unbelieved: Mapping[str, str] = {}
        self.audience = tuple(one.neighbour for one in site.downstream)
        self.sources = tuple(dict.fromkeys(one.neighbour for one in site.upstream))
        self._sources = frozenset((one.neighbour, one.loop) for one in site.upstream)
        self._heard: tuple[tuple[str, Forecast], ...] = ()
        self._failed: Mapping[str, str] = self.guard.bank.failed
        self._conditions: Mapping[str, str] = {}

    @classmethod
    def of(cls, site: Mapping[str, Any], points: Mapping[str, str]) -> "SignalDomain":
        """From the raw ``site`` and ``points`` of a gateway file."""
        return cls(SignalSite.model_validate(site), points)

    def inputs(
        self, clock: Reading[float], overrun: bool, readings: Sequence[Reading[Value]]
    ) -> SignalInputs:
        """The frozen inputs of one scan."""
        if readings is not self._readings:
            self._readings = readings
            self._frame = self._parse(readings)
        heard, self._heard = self._heard, ()
        return SignalInputs(clock, overrun, self._frame, self.guard.status, heard)

    def hear(self, neighbour: str, message: Mapping[str, Any]) -> bool:
        """Take up a forecast for the next scan, the latest of each junction."""
        if not any(neighbour == source for source, _ in self._sources):
            return False
        forecast = read_forecast(message)
        if (neighbour, forecast.loop) not in self._sources:
            return False
        kept = tuple(one for one in self._heard if (one[0], one[1].loop) != (neighbour, forecast.loop))
        self._heard = (*kept, (neighbour, forecast))
        return True

    def said(self, wanted: SignalWants | None) -> Mapping[str, Any] | None:
        """The forecast of whoever decides, with this loop's name still to be put in."""
        if wanted is None or wanted.forecast is None or not self.audience:
            return None
        return wanted.forecast.message()

    def _parse(self, readings: Sequence[Reading[Value]]) -> Frame:
        def one(place: int | None) -> Reading[Value] | None:
            return None if place is None else readings[place]

        return Frame(
            detectors=tuple(readings[place] for place in self._detectors),
            lamps=tuple(readings[place] for place in self._lamps),
            cabinet=tuple(readings[place] for place in self._states),
            cabinet_ped=tuple(one(place) for place in self._peds),
            cabinet_flash=one(self._flashing),
            monitor_fault=one(self._fault),
            panel=one(self._panel),
            priority=tuple(
                PriorityReadings(readings[eta], one(late), one(people))
                for eta, late, people in self._priority
            ),
            preempts=tuple(readings[place] for place in self._preempts),
        )

    def merge(self, first: SignalWants, second: SignalWants) -> SignalWants:
        """``first`` where it asks for anything, ``second`` elsewhere; a complete ``first`` stands alone."""
        if first.complete:
            return first
        return SignalWants(
            hold=first.hold | (second.hold - first.force_off),
            force_off=first.force_off | (second.force_off - first.hold),
            omit=first.omit | (second.omit - first.call),
            call=first.call | (second.call - first.omit),
            ped_call=first.ped_call | (second.ped_call - first.omit),
            complete=second.complete,
            decisions=first.decisions + second.decisions,
            forecast=first.forecast or second.forecast,
        )

    def force(self, wanted: SignalWants | None, point: str, value: Value) -> SignalWants:
        """Force one command of a cabinet's phase; bare lamps are made by the guard and cannot be forced."""
        try:
            place = self.writes.index(point)
        except ValueError:
            raise ValueError("this loop does not write that point") from None
        commands = len(self._numbers) * len(COMMANDS)
        if self.site.actuation == "lamps" or place >= commands + len(self._ped_called):
            raise ValueError("only the guard makes lamps and heartbeat; ask for phases instead")
        base = wanted or SignalWants()
        if place < commands:
            number, command = self._numbers[place // len(COMMANDS)], COMMANDS[place % len(COMMANDS)]
        else:
            number, command = self._ped_called[place - commands], "ped_call"
        asked = getattr(base, command)
        return replace(base, **{command: asked | {number} if value else asked - {number}})

    def values(self, outputs: SignalWants) -> Sequence[Value]:
        """Lamps, or commands phase by phase; then the heartbeat where there is one."""
        status = self.guard.status
        if outputs is not self._outputs or status is not self._shown_for:
            self._outputs, self._shown_for = outputs, status
            body: tuple[Value, ...] = outputs.lamps
            if self._displays.changes and body:
                body = self._displays.lamps(outputs.lamps, greens(status))
            if self.site.actuation == "cabinet":
                asked = (outputs.hold, outputs.force_off, outputs.omit, outputs.call)
                body = tuple(number in numbers for number in self._numbers for numbers in asked)
                body += tuple(number in outputs.ped_call for number in self._ped_called)
            self._values = (*body, outputs.heartbeat) if self._heartbeat else body
        return self._values

    def unlawful(self, outputs: SignalWants) -> str | None:
        """Why these lamps may never be shown together, or None. A cabinet makes its lamps itself."""
        return None if self.site.actuation == "cabinet" else self._invariant.unlawful(outputs.lamps)

    def conditions(self) -> Mapping[str, str]:
        """Detectors and calls of pre-emptions that are not believed, by their points.

        When no detector can be read at all their device is down, which is told as that and not once per detector.
        """
        failed, doubtful = self.guard.bank.failed, self.guard.doubtful
        if failed is self._failed and doubtful is self._doubtful:
            return self._conditions
        self._failed, self._doubtful = failed, doubtful
        if len(failed) < len(self._bound) or any(why != NO_READING for why in failed.values()):
            self._unbelieved = {
                self._bound[name]: f"is not believed (detector {name}: {why})" for name, why in failed.items()
            }
        self._conditions = {
            **self._unbelieved,
            **{
                self._callers[name]: f"is not believed (pre-emption {name}: {why})"
                for name, why in doubtful.items()
            },
        }
        return self._conditions

    def observe(
        self, now: float, clock: Reading[float], outputs: SignalWants, decisions: Sequence[Decision]
    ) -> Observed:
        """High-resolution events and figures."""
        return self._observer.look(now, clock, self._frame, outputs.lamps, decisions)

    def measures(self, now: float) -> dict[str, Any]:
        """``<phase>/<name>`` -> figure, of the last whole period and of the one under way."""
        observer = self._observer
        return {
            "ended_utc": observer.latest_utc,
            "last": observer.latest,
            "so_far": observer.so_far(now),
            "heads": self.heads(),
        }

    def heads(self) -> dict[str, str]:
        """What each head shows by its display table; empty for a cabinet, whose lamps are not ours."""
        if self._outputs is None or self.site.actuation == "cabinet":
            return {}
        return self._displays.names(self._outputs.lamps, greens(self.guard.status))

    def outlook(self, now: float, clock: Reading[float], period_s: float, speaker: str) -> dict[str, Any]:
        """The junction as a SPaT message would tell it."""
        return spat(self.guard, self._frame, now, clock, period_s, speaker, self._observer.priority)

    def observed(self) -> State:
        """The observer's exact state."""
        return self._observer.snapshot()

    def observe_on(self, state: State) -> None:
        """Take up the observer's exact state."""
        self._observer.resume(state)

    def failsafe(self) -> SignalWants:
        """Flash; for a cabinet no request at all, so that it runs by itself."""
        return SignalWants(lamps=self._flash)


class _Roles:
    """Gives each role its place among the points read or written; the first wrong one is refused."""

    def __init__(self, points: Mapping[str, str]) -> None:
        self._points = dict(points)
        self.read: list[str] = []

    def _take(self, role: str) -> str:
        point = self._points.pop(role, None)
        if point is None:
            raise ValueError(f"points.{role}: must be bound to a point")
        return point

    def many(self, roles: Any) -> tuple[int, ...]:
        return tuple(self._place(role) for role in roles)

    def _place(self, role: str) -> int:
        self.read.append(self._take(role))
        return len(self.read) - 1

    def maybe(self, role: str) -> int | None:
        return self._place(role) if role in self._points else None

    def all_or_none(self, roles: Any) -> tuple[int, ...]:
        wanted = list(roles)
        return self.many(wanted) if any(role in self._points for role in wanted) else ()

    def written(self, roles: Any) -> tuple[str, ...]:
        return tuple(self._take(role) for role in roles)

    def refuse_rest(self) -> None:
        for role in self._points:
            raise ValueError(f"points.{role}: unknown role, the site has nothing of this name")
