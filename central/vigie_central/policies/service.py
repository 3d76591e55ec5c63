"""Policies on their way to the fleet: take documents, make bundles, publish them, follow what is reported."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection

from vigie_central.policies import tables
from vigie_central.policies.bundles import applies, contents_hash, make_bundle
from vigie_central.policies.check import Checked, check_document
from vigie_central.policies.keys import RunningKeys
from vigie_central.policies.tables import Document, Enrolled, StoredBundle
from vigie_central.store import audit
from vigie_central.store.history import StoreError
from vigie_central.store.records import Records
from vigie_protocols import channel
from vigie_protocols.envelope import verify
from vigie_protocols.errors import Refused

log = structlog.get_logger("vigie.policies")
OFFER_AGAIN_S = 5.0
"""Seconds after which a gateway that is connected and has not answered a bundle is offered it again."""


class PolicyService:
    """The policies of one city.

    publish(topic, payload, retain) sends at QoS 1 and says whether it could; on_changed(gateway) is told
    when what a gateway should run or says that it runs is another; online(gateway) says whether it is
    connected. per_second bounds re-publishing.

    A broker may lose a retained message that it acknowledged, or the subscription of a gateway that came
    back: publishing once proves nothing. A gateway has its bundle when it says so; until then it is offered
    at its birth, and every ``OFFER_AGAIN_S`` while it is connected.
    """

    def __init__(
        self,
        records: Records,
        keys: RunningKeys,
        publish: Callable[[str, bytes], bool],
        on_changed: Callable[[str], None],
        online: Callable[[str], bool],
        *,
        per_second: float = 200.0,
    ) -> None:
        self.records = records
        self.enrolled: dict[str, Enrolled] = {}
        self.bundles: dict[str, StoredBundle] = {}
        self.reported: dict[str, channel.Reported] = {}
        self.published: dict[str, int] = {}
        self._keys = keys
        self._publish = publish
        self._on_changed = on_changed
        self._online = online
        self._pause = 1.0 / per_second
        self._queue: dict[str, None] = {}
        self._unsaved: dict[str, channel.Reported] = {}
        self._unknown: set[str] = set()
        self._refused: dict[str, int] = {}
        """Generation that stood published when a gateway reported a refusal."""
        self._wake = asyncio.Event()
        self._change = asyncio.Lock()

    async def load(self) -> None:
        """Take up everything from the records, and bring every bundle up to date."""
        self.bundles = await self.records.run(tables.newest_bundles)
        reports = await self.records.run(tables.all_reported)
        self.reported = {name: msgspec.convert(body, channel.Reported) for name, body in reports.items()}
        await self.reconcile("coordinator")

    # -- documents ----------------------------------------------------------------------------------

    async def validate(self, document: Any, file: str) -> tuple[Checked, list[str]]:
        """The document checked, and the gateways that it would reach; raises InputError."""
        checked = check_document(document, file)
        self.enrolled = await self.records.run(tables.enrolled)
        return checked, [name for name, each in self.enrolled.items() if applies(checked.scope, each)]

    async def push(self, envelope: bytes, scope: str, actor: str) -> tuple[Document, dict[str, StoredBundle]]:
        """Take a signed document in and make the bundles that follow from it.

        The same document again changes nothing. Raises SignatureError, FrameError, InputError, or Refused
        with code scope, older-version or same-version.
        """
        verified = verify(envelope, self._keys.ring, channel.PAYLOAD_TYPES["policy"], len(envelope))
        checked = check_document(verified.payload, "document")
        if checked.scope != scope:
            raise Refused(
                "scope",
                f"le document est signé pour {checked.scope}, pas pour {scope} / "
                f"the document is signed for scope {checked.scope}, not for {scope}",
            )
        document = Document(
            id=checked.document.id,
            version=checked.document.version,
            kind=checked.document.kind,
            scope=checked.scope,
            hash=hashlib.sha256(verified.payload).hexdigest(),
            key_id=", ".join(verified.key_ids),
            envelope=envelope.decode(),
            body=checked.body,
            pushed_at=time.time(),
        )
        async with self._change:
            if await self.records.run(lambda connection: _keep(connection, document, actor)):
                log.info("policy taken", id=document.id, version=document.version, scope=scope)
            made = await self._reconcile(actor)
        reached = [name for name, each in self.enrolled.items() if applies(scope, each)]
        return document, {name: self.bundles[name] for name in {*reached, *made} if name in self.bundles}

    async def withdraw(self, document_id: str, actor: str) -> dict[str, StoredBundle]:
        """Take a document out of every bundle; raises Refused(unknown-policy)."""

        def work(connection: Connection) -> None:
            now = time.time()
            if not tables.withdraw(connection, document_id, now):
                raise Refused(
                    "unknown-policy",
                    f"aucune politique {document_id!r} en vigueur / no policy {document_id!r} is in force",
                )
            audit.append(connection, now, actor, "policy.withdraw", document_id, {})

        async with self._change:
            await self.records.run(work)
            return await self._reconcile(actor)

    async def reconcile(self, actor: str) -> dict[str, StoredBundle]:
        """Make a new bundle for every gateway whose documents are others now; gives the new ones."""
        async with self._change:
            return await self._reconcile(actor)

    async def _reconcile(self, actor: str) -> dict[str, StoredBundle]:
        def work(connection: Connection) -> tuple[dict[str, Enrolled], dict[str, StoredBundle]]:
            enrolled = tables.enrolled(connection)
            documents = tables.current_documents(connection)
            newest = tables.newest_bundles(connection)
            made = {}
            for gateway in enrolled.values():
                wanted = [document for document in documents if applies(document.scope, gateway)]
                last = newest.get(gateway.gateway)
                if contents_hash(wanted) == (last.contents if last else contents_hash([])):
                    continue
                now = time.time()
                generation = last.generation + 1 if last else 1
                bundle = make_bundle(gateway, generation, wanted, self._keys.bundle, now)
                tables.add_bundle(connection, bundle)
                body = {"generation": generation, "hash": bundle.hash, "documents": bundle.documents}
                audit.append(connection, now, actor, "bundle.make", gateway.gateway, body)
                made[gateway.gateway] = bundle
            return enrolled, made

        self.enrolled, made = await self.records.run(work)
        self.bundles.update(made)
        for name in made:
            self._on_changed(name)
        self._enqueue(made)
        return made

    # -- the way out --------------------------------------------------------------------------------

    def publish_all(self) -> None:
        """The broker took us: all bundles again, since it may have lost what it kept."""
        self.published.clear()
        self._enqueue(self.bundles)

    def gateway_born(self, gateway: str) -> None:
        """A gateway came: offer it what it has not answered; an unknown one may have been enrolled since."""
        if gateway not in self.enrolled:
            self._unknown.add(gateway)
            self._wake.set()
        elif self._unanswered(gateway):
            self._enqueue([gateway])

    def _unanswered(self, gateway: str) -> bool:
        """Whether a gateway has neither taken nor refused the bundle that was published for it."""
        bundle, report = self.bundles.get(gateway), self.reported.get(gateway)
        if bundle is None or self.published.get(gateway) != bundle.generation:
            return False
        taken = report is not None and report.generation >= bundle.generation
        return not taken and self._refused.get(gateway) != bundle.generation

    def take_reported(self, gateway: str, report: channel.Reported) -> None:
        """What a gateway says that it runs."""
        if self.reported.get(gateway) == report:
            return
        self.reported[gateway] = report
        self._unsaved[gateway] = report
        if report.refused is not None:
            self._refused[gateway] = self.published.get(gateway, 0)
            log.warning(
                "bundle refused", gateway=gateway, code=report.refused.code, reason=report.refused.reason
            )
        self._on_changed(gateway)
        self._wake.set()

    def in_step(self, gateway: str) -> bool:
        """True when a gateway runs the bundle that it should, every document of it."""
        wanted, report = self.bundles.get(gateway), self.reported.get(gateway)
        if wanted is None:
            return True
        if report is None or report.refused is not None:
            return False
        return report.state == "applied" and report.bundle_hash == wanted.hash

    async def run(self) -> None:
        """Publish, keep reports and look for new enrolments until cancelled."""
        while True:
            try:
                async with asyncio.timeout(OFFER_AGAIN_S):
                    await self._wake.wait()
            except TimeoutError:
                self._enqueue(name for name in self.bundles if self._online(name) and self._unanswered(name))
            self._wake.clear()
            try:
                await self._save_reports()
                if self._unknown:
                    self._unknown.clear()
                    await self.reconcile("coordinator")
            except StoreError as why:
                log.error("policy records not written; trying again", reason=str(why))
                await asyncio.sleep(1.0)
                self._wake.set()
            await self._send_queued()

    async def flush(self) -> None:
        """Write reports that are not in the records yet."""
        await self._save_reports()

    def _enqueue(self, names: Iterable[str]) -> None:
        self._queue.update(dict.fromkeys(names))
        self._wake.set()

    async def _send_queued(self) -> None:
        while self._queue:
            name = next(iter(self._queue))
            bundle = self.bundles[name]
            if not self._publish(channel.topic(name, channel.DESIRED), bundle.envelope.encode()):
                await asyncio.sleep(0.2)
                if not self._publish(channel.topic(name, channel.DESIRED), bundle.envelope.encode()):
                    return  # the next connection publishes all again
            self._queue.pop(name, None)
            self.published[name] = bundle.generation
            self._on_changed(name)
            await asyncio.sleep(self._pause)

    async def _save_reports(self) -> None:
        while self._unsaved:
            gateway, report = next(iter(self._unsaved.items()))
            body = msgspec.to_builtins(report)
            await self.records.run(partial(tables.put_reported, gateway=gateway, body=body, at=time.time()))
            if self._unsaved.get(gateway) is report:
                del self._unsaved[gateway]


def _keep(connection: Connection, document: Document, actor: str) -> bool:
    """Store a document that is newer than what there is; False when it is there already."""
    newest = tables.newest_document(connection, document.id)
    if newest is not None:
        if newest.version > document.version:
            raise Refused(
                "older-version",
                f"version {document.version} de {document.id}, la {newest.version} est déjà là / "
                f"version {document.version} of {document.id}: version {newest.version} is in the store already",
            )
        if newest.version == document.version:
            if newest.hash == document.hash and newest.withdrawn_at is None:
                return False
            raise Refused(
                "same-version",
                f"la version {document.version} de {document.id} est déjà là, autre ou retirée; augmenter le numéro / "
                f"version {document.version} of {document.id} is in the store already with other content "
                "or withdrawn; give the new one a greater version",
            )
    tables.add_document(connection, document)
    audit.append(
        connection,
        document.pushed_at,
        actor,
        "policy.push",
        document.id,
        {"version": document.version, "scope": document.scope, "hash": document.hash, "key": document.key_id},
    )
    return True
