"""The policy shelf: bundles from ``policies/incoming`` to the engine, and what is told about them.

Run by control in the slack after a scan, one bounded step at a time: read the file, check the bundle's
signature, check one document's signature per step, offer. Nothing here waits for the disk.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from vigie_controllers.contract import Decision
from vigie_controllers.policy.document import Code
from vigie_controllers.scan import ScanEngine
from vigie_edge.config import Plan
from vigie_edge.records import Offer
from vigie_edge.statefiles import write_atomic
from vigie_protocols import channel
from vigie_protocols.envelope import load_key_ring, parse_strict_json, verify
from vigie_protocols.errors import FrameError, InputError, Refused, SignatureError
from vigie_protocols.keys import KeyRing
from vigie_protocols.points import ClockTrust


class PolicyShelf:
    """What control does with policy files."""

    def __init__(self, plan: Plan, engine: ScanEngine) -> None:
        self._plan = plan
        self._life = engine.policies
        self._state = plan.gateway.state_dir
        self._directory = plan.gateway.state_dir / "policies"
        self._incoming = self._directory / "incoming" / "desired.json"
        self._keyring: KeyRing | None = None
        self._no_keyring = "this gateway has no key ring and refuses every policy"
        uplink = plan.gateway.uplink
        if uplink is not None and uplink.keyring is not None:
            try:
                self._keyring = load_key_ring(uplink.keyring, plan.gateway.gateway)
            except InputError as error:
                self._no_keyring = f"the key ring cannot be used: {error}"
        self._steps: Iterator[None] | None = None
        self._wanted = True  # look once after start
        self._told = -1
        self._since = 0.0
        self._hashes: dict[str, str] = {}
        self._bundle_hash = ""
        self.confirmed = False
        """Somebody at the local socket has vouched for the bundle that is on the shelf."""
        self.offers: list[Offer] = []
        """What the engine was given since the last scan; a replay gives it again."""
        self.staged_generation = 0
        self.applied_generation = 0

    def look(self) -> None:
        """Something was put on the shelf."""
        self._wanted = True

    def stored_snapshot(self) -> dict[str, Any] | None:
        """The last snapshot on disk, for a start without a predecessor in memory."""
        try:
            data = (self._state / "snapshot.msgpack").read_bytes()
            state: dict[str, Any] = msgspec.msgpack.decode(data)
        except (OSError, msgspec.MsgspecError):
            return None
        return state

    def step(self, now: float, utc: float, trust: ClockTrust, notes: list[Decision]) -> bool:
        """One bounded step; True when what is reported has changed."""
        if self._steps is None and self._wanted:
            self._wanted = False
            self._steps = self._load(now, utc, trust)
        if self._steps is not None:
            try:
                next(self._steps)
            except StopIteration:
                self._steps = None
        if self._life.revision == self._told:
            return False
        self._told = self._life.revision
        self._tell(utc, notes)
        return True

    def _load(self, now: float, utc: float, trust: ClockTrust) -> Iterator[None]:
        # Whatever becomes of this bundle, the consent was for it alone.
        confirmed, self.confirmed = self.confirmed, False
        try:
            data = self._incoming.read_bytes()
        except OSError:
            return
        try:
            if self._keyring is None:
                raise SignatureError(self._no_keyring)
            ring = self._keyring
            verified = verify(data, ring, channel.PAYLOAD_TYPES["bundle"], channel.MAX_BUNDLE)
            yield
            bundle = channel.decode_bundle(verified.payload)
            documents = []
            hashes = {}
            for envelope in bundle.documents:
                raw = msgspec.json.encode(envelope)
                one = verify(raw, ring, channel.PAYLOAD_TYPES["policy"], 4 * channel.MAX_DOCUMENT)
                document = parse_strict_json(one.payload, channel.MAX_DOCUMENT)
                if not isinstance(document, dict):
                    raise FrameError("a policy document is not an object")
                documents.append(document)
                key = f"{document.get('id')}@{document.get('version')}"
                hashes[key] = hashlib.sha256(one.payload).hexdigest()
                yield
        except (SignatureError, FrameError, Refused) as error:
            code: Code = "bad-document" if isinstance(error, FrameError) else "bad-signature"
            reason = str(error)[:1000]
            self.offers.append(Offer(now, utc, int(trust), False, {}, code, reason))
            self._life.refuse(code, reason)
            return
        offer = {
            "audience": bundle.audience,
            "root_epoch": bundle.root_epoch,
            "generation": bundle.generation,
            "issued_at": bundle.issued_utc,
            "documents": documents,
        }
        self.offers.append(Offer(now, utc, int(trust), confirmed, offer))
        outcome = self._life.offer(now, utc, trust, offer, confirmed=confirmed)
        if outcome.accepted:
            self._hashes = hashes
            self._bundle_hash = hashlib.sha256(verified.payload).hexdigest()
            self._told = -1  # after a restart the bundle is nothing new, but what it is called is

    def _tell(self, utc: float, notes: list[Decision]) -> None:
        """Write what is reported where the uplink finds it, and keep count of generations."""
        told = self._life.reported()
        states = {row["state"] for row in told["documents"]}
        self.staged_generation = told["generation"]
        if "armed" not in states:
            self.applied_generation = told["generation"]
        refused = told["refused"]
        state = "default"
        if refused is not None:
            state = "refused"
        elif "armed" in states:
            state = "staged"
        elif states:
            state = "applied"
        self._since = utc
        refusals = [row for row in told["documents"] if row["state"] == "refused"]
        refusal = None
        if refused is not None:
            refusal = channel.Refusal(told["generation"], refused["code"], refused["reason"])
        elif refusals:
            row = refusals[0]
            refusal = channel.Refusal(
                told["generation"], row["code"], row["reason"], f"{row['id']}@{row['version']}"
            )
        report = channel.Reported(
            max(0, told["root_epoch"]),
            told["generation"],
            state,  # type: ignore[arg-type]
            told["effective_hash"],
            utc,
            self._bundle_hash,
            tuple(
                channel.DocumentState(
                    row["id"],
                    row["version"],
                    row["state"],
                    self._hashes.get(f"{row['id']}@{row['version']}", ""),
                )
                for row in told["documents"][: channel.MAX_DOCUMENTS]
            ),
            (),
            refusal,
        )
        try:
            write_atomic(self._directory / "reported.json", channel.encode(report), durable=False)
        except OSError as error:
            notes.append(Decision("policy", "report", "not-written", error.strerror or "disk"))
        if refusal is not None:
            told_why = f"{refusal.code}: {refusal.reason}"
            notes.append(Decision("policy", refusal.document or "bundle", "refused", told_why))
        else:
            notes.append(Decision("policy", "bundle", state, f"generation {told['generation']}"))
