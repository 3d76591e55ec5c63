"""From the coordinator's state to the API's types."""

from collections.abc import Iterable

import msgspec

from vigie_central.api import models
from vigie_central.host.alarms import ActiveAlarm, Alarms
from vigie_central.host.fleet import Fleet, Gateway
from vigie_central.host.ingest import Ingest
from vigie_central.policies.service import PolicyService
from vigie_central.policies.tables import Document, StoredBundle
from vigie_central.store.history import GatewayTotals, StoredEvent
from vigie_protocols import channel


class Views:
    """Reads fleet, counters, alarms and policies; changes nothing."""

    def __init__(self, fleet: Fleet, alarms: Alarms, ingest: Ingest, policies: PolicyService) -> None:
        self.fleet = fleet
        self.alarms = alarms
        self.ingest = ingest
        self.policies = policies

    def names(self) -> set[str]:
        """Every gateway that was heard of, enrolled, or both."""
        return {*self.fleet.gateways, *self.policies.enrolled}

    def gateway_state(self, name: str) -> models.GatewayState:
        """A gateway's twin; one that never spoke is shown as enrolled and off."""
        gateway = self.fleet.gateways.get(name) or Gateway(name, "")
        enrolled = self.policies.enrolled.get(name)
        return models.GatewayState(
            id=name,
            group=gateway.group,
            district=enrolled.district if enrolled else None,
            enrolled=enrolled is not None,
            online=gateway.online,
            stale=not gateway.online,
            since=gateway.since_ms / 1000,
            devices=[
                models.DeviceState(
                    name=device, online=each.online, since=each.since_ms / 1000, points=len(each.points)
                )
                for device, each in sorted(gateway.devices.items())
            ],
            counters=self.counters(gateway),
            desired=self.desired(name),
            reported=self.reported(name),
            in_step=self.policies.in_step(name) if name in self.policies.bundles else None,
        )

    def counters(self, gateway: Gateway, totals: GatewayTotals | None = None) -> models.GatewayCounters:
        """Counts of a gateway; those of the store come with ``totals``."""
        totals = totals or self.ingest.totals.get(gateway.id) or GatewayTotals()
        settled = sorted(
            (each for (name, _), each in self.ingest.settled.items() if name == gateway.id),
            key=lambda each: each.epoch,
        )
        missing = sum(
            each.highest - each.through - sum(high - low + 1 for low, high in each.ranges) for each in settled
        )
        own = gateway.counters
        return models.GatewayCounters(
            messages=own.messages,
            records_stored=totals.records,
            samples_stored=totals.samples,
            events_stored=totals.events,
            duplicates_dropped=own.duplicates,
            missing=missing,
            lost=totals.lost,
            births=own.births,
            deaths=own.deaths,
            rebirths_requested=own.rebirths_requested,
            refused_messages=own.refused,
            acked=[
                models.Acked(epoch=each.epoch, through=each.through, ranges=list(each.ranges)[:100])
                for each in settled[-4:]
            ],
        )

    def desired(self, name: str) -> models.Desired | None:
        """The bundle of a gateway."""
        bundle = self.policies.bundles.get(name)
        return None if bundle is None else self.bundle(bundle)

    def bundle(self, bundle: StoredBundle) -> models.Desired:
        """A bundle in short."""
        return models.Desired(
            generation=bundle.generation,
            hash=bundle.hash,
            policies=[models.PolicyRef(**each) for each in bundle.documents],
            published=self.policies.published.get(bundle.gateway) == bundle.generation,
        )

    def reported(self, name: str) -> models.Reported | None:
        """What a gateway says that it runs; a refusal of the desired bundle comes first."""
        report = self.policies.reported.get(name)
        if report is None:
            return None
        refused = report.refused
        wanted = self.policies.bundles.get(name)
        # One whose signature is bad has no generation that the gateway could name: its own state tells then.
        stands = refused is not None and (
            wanted is None or report.state == "refused" or refused.generation >= wanted.generation
        )
        return models.Reported(
            state="refused" if stands else report.state,
            generation=report.generation,
            hash=report.bundle_hash or None,
            effective_hash=report.effective_hash or None,
            code=refused.code if refused and stands else None,
            reason=refused.reason if refused and stands else None,
            utc=report.since_utc,
            raw=_builtins(report),
        )

    def status(self, name: str) -> models.GatewayPolicyStatus:
        """Desired against reported."""
        return models.GatewayPolicyStatus(
            gateway=name,
            desired=self.desired(name),
            reported=self.reported(name),
            in_step=self.policies.in_step(name),
        )

    def points(self, gateways: Iterable[Gateway], prefix: str, limit: int) -> models.Points:
        """Last values of the points whose names begin with ``prefix``."""
        rows: list[models.PointValue] = []
        for gateway in gateways:
            for name, point in sorted(gateway.points.items()):
                if not name.startswith(prefix):
                    continue
                if len(rows) == limit:
                    return models.Points(points=rows, more=True)
                rows.append(
                    models.PointValue(
                        gateway=gateway.id,
                        point=name,
                        value=point.value,
                        quality=point.quality,
                        utc=point.utc_ms / 1000,
                        stale=gateway.stale(name),
                    )
                )
        return models.Points(points=rows)

    def event(self, event: StoredEvent) -> models.Event:
        """An event."""
        return models.Event(
            gateway=event.gateway, utc=event.utc_ms / 1000, kind=event.kind, body=event.body, seq=event.seq
        )

    def alarm(self, alarm: ActiveAlarm) -> models.Alarm:
        """An alarm that stands."""
        return models.Alarm(
            gateway=alarm.gateway,
            key=alarm.key,
            severity=alarm.severity,
            since=alarm.since_ms / 1000,
            text=alarm.text,
            body=alarm.body,
        )


def policy_row(document: Document, newest: bool) -> models.PolicyRow:
    """A document of the store; ``newest``: no higher version of it is there."""
    state = "withdrawn" if document.withdrawn_at is not None else "current" if newest else "superseded"
    return models.PolicyRow.model_validate(
        {
            "id": document.id,
            "version": document.version,
            "kind": document.kind,
            "scope": document.scope,
            "hash": document.hash,
            "key_id": document.key_id,
            "pushed_at": document.pushed_at,
            "state": state,
            "document": document.body,
        }
    )


def _builtins(report: channel.Reported) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(report)
    return plain
