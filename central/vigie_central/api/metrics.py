"""``/metrics`` for Prometheus, read from the live state at each scrape."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from vigie_central.api.core import Core


class CentralCollector(Collector):
    """Counters and gauges of one coordinator."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        core = self.core
        ingest, session, fleet = core.views.ingest, core.session, core.views.fleet
        gauges = {
            "vigie_broker_connected": ("1 while the broker has us", int(session.connected)),
            "vigie_gateways_online": (
                "gateways whose session lives",
                sum(each.online for each in fleet.gateways.values()),
            ),
            "vigie_gateways_known": ("gateways heard of or enrolled", len(core.views.names())),
            "vigie_records_pending": ("records received and not yet durable", ingest.pending),
            "vigie_alarms_active": ("alarms that stand", len(core.views.alarms.active())),
            "vigie_live_clients": ("open live pages", core.hub.clients),
            "vigie_policies_out_of_step": (
                "gateways that do not run their bundle",
                sum(not core.policies.in_step(name) for name in core.policies.bundles),
            ),
        }
        counters = {
            "vigie_messages_received": ("MQTT messages", session.received),
            "vigie_samples_stored": ("samples made durable by this process", ingest.samples_stored),
            "vigie_commits": ("commits of the history", ingest.commits),
            "vigie_commit_seconds": ("time spent committing", ingest.commit_seconds),
            "vigie_commits_failed": ("batches that could not be stored", ingest.failed_commits),
            "vigie_records_overflowed": ("records dropped unacknowledged, memory full", ingest.overflowed),
            "vigie_rebirths_allowed": ("rebirth requests sent", session.governor.granted),
            "vigie_rebirths_held_back": ("rebirth requests held back", session.governor.suppressed),
            "vigie_live_dropped": ("live pages that fell behind", core.hub.dropped),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(name, text, value)
        for name, (text, total) in counters.items():
            yield CounterMetricFamily(name, text, total)
        problems = CounterMetricFamily(
            "vigie_messages_refused", "messages dropped, by cause", labels=["cause"]
        )
        for cause, count in sorted(session.problems.items()):
            problems.add_metric([cause], count)
        yield problems
        yield from self._gateways()

    def _gateways(self) -> Iterable[Metric]:
        stored = CounterMetricFamily(
            "vigie_gateway_samples_stored", "samples in the store", labels=["gateway"]
        )
        duplicates = CounterMetricFamily("vigie_gateway_duplicates", "records come twice", labels=["gateway"])
        online = GaugeMetricFamily("vigie_gateway_online", "1 while its session lives", labels=["gateway"])
        for name, gateway in sorted(self.core.views.fleet.gateways.items()):
            totals = self.core.views.ingest.totals.get(name)
            stored.add_metric([name], totals.samples if totals else 0)
            duplicates.add_metric([name], gateway.counters.duplicates)
            online.add_metric([name], int(gateway.online))
        yield from (stored, duplicates, online)


def make_registry(core: Core) -> CollectorRegistry:
    """A registry of this coordinator alone, with the figures of its process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(CentralCollector(core))
    ProcessCollector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """The text that Prometheus reads."""
    return generate_latest(registry)
