"""The coordinator: one process, one event loop, everything started and stopped in order."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import structlog
import uvicorn

from vigie_central.api.app import make_app
from vigie_central.api.core import Core
from vigie_central.api.inventory import Inventory
from vigie_central.api.live import LiveHub
from vigie_central.api.views import Views
from vigie_central.broker import OwnBroker
from vigie_central.host.alarms import ALARM_WORDS, Alarms
from vigie_central.host.fleet import Fleet
from vigie_central.host.ingest import Ingest
from vigie_central.host.orders import Orders
from vigie_central.host.session import Session, utc_ms
from vigie_central.policies.keys import load_running_keys
from vigie_central.policies.service import PolicyService
from vigie_central.settings import Endpoint, Settings, StateDir
from vigie_central.store.duck import DuckHistory
from vigie_central.store.history import StoredEvent
from vigie_central.store.records import Records
from vigie_central.wording import COMMAND_LINE
from vigie_protocols.errors import PermanentError, VigieError, input_error
from vigie_protocols.mqttevents import LinkConfig
from vigie_protocols.sparkplug.host import HostConfig

log = structlog.get_logger("vigie.central")
STATIC = Path(__file__).parent / "static"
REMEMBERED_ALARM_EVENTS = 10_000
SILENT_S = 60.0


class Coordinator:
    """One coordinator from ``start`` to ``stop``."""

    def __init__(self, settings: Settings) -> None:
        if not settings.state.initialised():
            raise input_error(
                COMMAND_LINE,
                "--state",
                str(settings.state.root),
                "ce dossier d'état n'a jamais été préparé / this state directory was never initialised",
                f"Lancer / Run: vigie-central init --state {settings.state.root}",
            )
        self.settings = settings
        self.token = settings.state.token.read_text().strip()
        self.keys = load_running_keys(settings.state.keys)
        self.records = Records(settings.state, settings.database_url)
        self.history = DuckHistory(settings.state.history)
        self.fleet = Fleet()
        self.alarms = Alarms()
        self.own_broker = None if settings.broker else OwnBroker(settings.state.broker, settings.broker_port)
        self.http: Endpoint | None = None
        self.broker: Endpoint | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._session: Session | None = None
        self._hub: LiveHub | None = None
        self._policies: PolicyService | None = None
        self._ingest: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bring everything up; returns when the API answers. Raises InputError, StoreError, LinkDown."""
        sock = _listen(self.settings.http)
        self.http = Endpoint(self.settings.http.host, sock.getsockname()[1])
        self._opening = asyncio.create_task(asyncio.to_thread(self.records.open))
        await self.history.open()
        self.fleet.remember(await self.history.last())
        broker = self.settings.broker
        if broker is None:
            broker = await asyncio.to_thread(self._start_broker)
        self.broker = broker
        await self._opening
        core = await self._wire(broker)
        self._server = _Server(
            uvicorn.Config(
                make_app(core),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="websockets-sansio",
                ws_max_size=64 * 1024,
                timeout_graceful_shutdown=2,
                server_header=False,
            )
        )
        self._serving = asyncio.create_task(self._server.serve(sockets=[sock]), name="http")
        while not self._server.started:
            await asyncio.sleep(0.005)
            if self._serving.done():
                self._serving.result()
                raise PermanentError("le serveur HTTP n'a pas démarré / the HTTP server did not start")
        core.session.start()
        if self.own_broker is not None:
            await core.session.wait_connected(5.0)
        self._announce()

    def _start_broker(self) -> Endpoint:
        assert self.own_broker is not None
        return self.own_broker.start()

    async def _wire(self, broker: Endpoint) -> Core:
        settings = self.settings
        session = Session(
            HostConfig(settings.host_id, settings.groups),
            LinkConfig(
                broker.host,
                broker.port,
                f"vigie-central-{settings.host_id}-{os.getpid()}",
                first_delay=0.0,
                min_delay=0.1,
                max_delay=5.0,
                max_queued=20_000,
                max_queued_bytes=256 << 20,
            ),
            self.fleet,
            self.alarms,
            on_connected=lambda: policies.publish_all(),
            on_reported=lambda gateway, report: policies.take_reported(gateway, report),
            on_response=lambda gateway, response: orders.take_response(gateway, response),
            on_born=lambda gateway: policies.gateway_born(gateway),
        )
        policies = PolicyService(
            self.records,
            self.keys,
            lambda topic, payload: session.publish(topic, payload, retain=True),
            lambda gateway: self.fleet.changed_gateways.add(gateway),  # the live hub renews the set
            self.fleet.online,
        )
        orders = Orders(self.records, self.keys.command, session.publish)
        ingest = Ingest(self.history, self.fleet, session.acknowledge, self._take_events)
        session.ingest = ingest
        views = Views(self.fleet, self.alarms, ingest, policies)
        self._hub = hub = LiveHub(views)
        inventory = Inventory(self.records)
        self._session, self._policies = session, policies
        await ingest.recover()
        await policies.load()
        await inventory.load()
        self.alarms.take(await self.history.events_about(["alarm"], ALARM_WORDS, REMEMBERED_ALARM_EVENTS))
        hub.recent.extend(await self.history.events(None, None, None, hub.recent.maxlen or 100))
        self._ingest = asyncio.create_task(ingest.run(), name="ingest")
        jobs = [hub.run(), policies.run(), self._name_the_silent(policies)]
        if self.own_broker is not None:
            jobs.append(self.own_broker.watch())
        self._tasks = [asyncio.create_task(job) for job in jobs]
        return Core(
            self.token, views, hub, self.history, self.records, policies, orders, session, inventory, STATIC
        )

    async def _name_the_silent(self, policies: PolicyService) -> None:
        """Gateways that were there before us, or are enrolled, and do not come: nobody tells their death."""
        await asyncio.sleep(SILENT_S)
        for name in {*policies.enrolled, *self.fleet.gateways}:
            gateway = self.fleet.gateways.get(name)
            if gateway is None or not gateway.online:
                self.alarms.offline(
                    name, utc_ms(), f"not heard of in the first {SILENT_S:.0f} s of the coordinator"
                )
        await asyncio.Event().wait()

    def _take_events(self, events: Sequence[StoredEvent]) -> None:
        self.alarms.take(events)
        if self._hub is not None:
            self._hub.take_events(list(events))

    def _announce(self) -> None:
        ready = {
            "http": f"http://{self.http}",
            "broker": str(self.broker),
            "pid": os.getpid(),
            "state": str(self.settings.state.root),
        }
        text = json.dumps(ready) + "\n"
        _write_whole(self.settings.state.address, text)
        if self.settings.ready_file is not None:
            _write_whole(self.settings.ready_file, text)
        log.info("coordinator ready", http=ready["http"], broker=ready["broker"])

    async def wait(self) -> None:
        """Until a part of it ends by itself, which is an error."""
        parts = [*self._tasks, *(each for each in (self._ingest, self._serving) if each is not None)]
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            part.result()
        names = ", ".join(part.get_name() for part in done)
        raise PermanentError(f"une partie s'est arrêtée d'elle-même / a part ended by itself: {names}")

    async def stop(self) -> None:
        """Stop everything in order: no new data, commit, farewell, records, broker."""
        self.settings.state.address.unlink(missing_ok=True)
        if self._hub is not None:
            self._hub.close()
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.gather(self._serving, return_exceptions=True)
        for task in (*self._tasks, self._ingest):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._opening is not None:
            await asyncio.gather(self._opening, return_exceptions=True)
        for part, stop in (
            ("session", self._session.close if self._session else None),
            ("reports", self._policies.flush if self._policies else None),
            ("history", self.history.close),
            ("records", partial(asyncio.to_thread, self.records.close)),
            ("broker", partial(asyncio.to_thread, self.own_broker.stop) if self.own_broker else None),
        ):
            try:
                if stop is not None:
                    await stop()
            except (VigieError, OSError) as why:
                log.error("not stopped cleanly", part=part, reason=str(why))
        log.info("coordinator stopped")


class _Server(uvicorn.Server):
    """Signals are the coordinator's, not the HTTP server's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


async def serve(settings: Settings) -> None:
    """Run a coordinator until SIGTERM or SIGINT."""
    with _alone(settings.state):
        coordinator = Coordinator(settings)
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        try:
            await coordinator.start()
            ended = asyncio.create_task(coordinator.wait())
            asked = asyncio.create_task(stopping.wait())
            await asyncio.wait((ended, asked), return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            if ended.done():
                ended.result()
            ended.cancel()
        finally:
            await coordinator.stop()


@contextmanager
def _alone(state: StateDir) -> Iterator[IO[str]]:
    """One coordinator per state directory."""
    state.root.mkdir(parents=True, exist_ok=True)
    with (state.root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise input_error(
                COMMAND_LINE,
                "--state",
                str(state.root),
                "un autre coordonnateur y tourne / another coordinator runs in this state directory",
                "L'arrêter, ou choisir un autre dossier / Stop it first, or choose another directory.",
            ) from None
        yield lock


def _listen(endpoint: Endpoint) -> socket.socket:
    try:
        family = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)[0][0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((endpoint.host, endpoint.port))
    except OSError as why:
        raise input_error(
            COMMAND_LINE,
            "--http",
            str(endpoint),
            f"impossible d'y écouter / cannot listen there: {why.strerror or why}",
            "Choisir une adresse de cette machine et un port libre, ou 0 / "
            "Choose an address of this machine and a free port; port 0 takes any.",
        ) from why
    return sock


def _write_whole(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text)
    with contextlib.suppress(OSError):
        part.chmod(0o644)
    part.replace(path)
