"""From a file on the operator's desk to what a gateway reports, through the real commands."""

import asyncio
import hashlib
import json

import pytest
import websockets

from vigie_protocols import channel
from vigie_protocols.points import ValueType

DEVICES = {"station": {"level": ValueType.FLOAT}}


async def until(true):
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.02)


def policy(folder, name, version=1, **more):
    document = {
        "kind": "water.level",
        "id": name,
        "version": version,
        "valid_from": 0,
        "not_after": 4_000_000_000,
        "params": {},
        **more,
    }
    path = folder / f"{name}-{version}.json"
    path.write_text(json.dumps(document))
    return path


def applied(bundle):
    payload_hash = hashlib.sha256(channel.encode(bundle)).hexdigest()
    return channel.Reported(
        root_epoch=bundle.root_epoch,
        generation=bundle.generation,
        state="applied",
        effective_hash="ab" * 32,
        since_utc=1.0,
        bundle_hash=payload_hash,
    )


def refused(bundle):
    return channel.Reported(
        root_epoch=bundle.root_epoch,
        generation=0,
        state="default",
        effective_hash="ab" * 32,
        since_utc=1.0,
        refused=channel.Refusal(bundle.generation, "outside-envelope", "start_m 9.0 is above the rim 4.0"),
    )


def push(central, path, scope, *more):
    return central.command("vigie", "policy", "push", str(path), "--scope", scope, *more)


def status(central, gateway):
    rows = central.get("/policies/status")["gateways"]
    return next(row for row in rows if row["gateway"] == gateway)


def test_a_push_reaches_its_scope_and_is_seen_applied(central, make_edge, folder):
    rings = {name: folder / "rings" / f"{name}.ring" for name in ("gw-p1", "gw-p2", "gw-p3")}
    for name, ring in rings.items():
        done = central.command(
            "vigie-central",
            "enrol",
            name,
            "--district",
            "est" if name != "gw-p3" else "sud",
            "--out",
            str(ring),
        )
        assert done.returncode == 0, done.stderr
    edges = {name: make_edge(name, DEVICES, ring=ring, answer=applied) for name, ring in rings.items()}

    async def script():
        for edge in edges.values():
            edge.start()
        await until(lambda: all(edge.edge.born for edge in edges.values()))
        done = await asyncio.to_thread(push, central, policy(folder, "storm"), "district:est")
        assert done.returncode == 0, done.stderr
        await until(lambda: all(status(central, name)["in_step"] for name in ("gw-p1", "gw-p2")))
        assert not edges["gw-p3"].bundles
        done = await asyncio.to_thread(push, central, policy(folder, "event"), "site:gw-p1")
        assert done.returncode == 0, done.stderr
        await until(lambda: status(central, "gw-p1")["reported"]["generation"] == 2)
        assert [each["id"] for each in status(central, "gw-p1")["desired"]["policies"]] == ["event", "storm"]
        assert len(edges["gw-p2"].bundles) == 1
        # The same document again makes nothing new; a higher version of it does.
        assert (await asyncio.to_thread(push, central, policy(folder, "event"), "site:gw-p1")).returncode == 0
        assert status(central, "gw-p1")["desired"]["generation"] == 2
        await asyncio.to_thread(push, central, policy(folder, "event", 2, priority=5), "site:gw-p1")
        await until(lambda: status(central, "gw-p1")["reported"]["generation"] == 3)
        older = await asyncio.to_thread(push, central, policy(folder, "event", 1), "site:gw-p1")
        assert older.returncode == 1
        assert "version 2 is in the store already" in older.stderr
        # Withdrawn: a newer bundle without it.
        gone = await asyncio.to_thread(central.command, "vigie", "policy", "withdraw", "storm")
        assert gone.returncode == 0, gone.stderr
        await until(lambda: status(central, "gw-p2")["reported"]["generation"] == 2)
        assert edges["gw-p2"].bundles[-1].documents == ()
        for edge in edges.values():
            await edge.stop()

    asyncio.run(script())
    shown = central.command("vigie", "policy", "status")
    assert shown.returncode == 0
    assert "gw-p1" in shown.stdout
    state = {(each["id"], each["version"]): each["state"] for each in central.get("/policies")["policies"]}
    assert state["event", 1] == "superseded"
    assert state["event", 2] == "current"
    assert state["storm", 1] == "withdrawn"


def test_an_open_page_is_told_that_a_policy_was_sent_and_applied(central, make_edge, folder):
    ring = folder / "rings" / "gw-open.ring"
    done = central.command("vigie-central", "enrol", "gw-open", "--out", str(ring))
    assert done.returncode == 0, done.stderr
    edge = make_edge("gw-open", DEVICES, ring=ring, answer=applied)

    async def script():
        edge.start()
        await until(lambda: edge.edge.born)
        address = central.url.replace("http", "ws") + "/api/v1/live"
        async with websockets.connect(address, max_size=None) as socket:
            await socket.recv()  # the snapshot; from here on only what changes
            await asyncio.to_thread(push, central, policy(folder, "open"), "site:gw-open")
            async with asyncio.timeout(30):
                async for text in socket:
                    told = json.loads(text).get("gateway")
                    if told and told["id"] == "gw-open" and told["in_step"]:
                        break
        assert [each["id"] for each in told["desired"]["policies"]] == ["open"]
        await edge.stop()

    asyncio.run(script())


def test_a_refusal_is_shown_with_its_reason_and_the_twin_survives_a_restart(make_central, make_edge, folder):
    central = make_central("twin")
    ring = central.enrol("gw-r")
    central.start()
    edge = make_edge("gw-r", DEVICES, ring=ring, answer=refused)

    async def script():
        edge.start()
        await until(lambda: edge.edge.born)
        done = await asyncio.to_thread(push, central, policy(folder, "too-high"), "city")
        assert done.returncode == 0, done.stderr
        await until(lambda: (status(central, "gw-r")["reported"] or {}).get("state") == "refused")
        await asyncio.to_thread(central.kill)
        seen = len(edge.bundles)
        await asyncio.to_thread(central.start)
        row = status(central, "gw-r")
        assert (row["reported"]["code"], row["in_step"]) == ("outside-envelope", False)
        assert "above the rim" in row["reported"]["reason"]
        # All bundles are published again after every connection: the broker may have lost them.
        await until(lambda: len(edge.bundles) > seen)
        assert edge.bundles[-1].generation == edge.bundles[0].generation == 1
        await edge.stop()

    asyncio.run(script())
    shown = central.command("vigie", "policy", "status", "--json")
    (row,) = json.loads(shown.stdout)
    assert row["reported"]["raw"]["refused"]["code"] == "outside-envelope"
    audit = central.command("vigie-central", "audit")
    assert audit.returncode == 0, audit.stderr
    assert json.loads(audit.stdout)["broken_at"] is None
    assert json.loads(audit.stdout)["lines"] >= 3


def test_a_bundle_that_a_broker_lost_is_offered_until_the_gateway_answers(central, make_edge, folder):
    ring = folder / "rings" / "gw-d.ring"
    done = central.command("vigie-central", "enrol", "gw-d", "--out", str(ring))
    assert done.returncode == 0, done.stderr
    deaf, edge = make_edge("gw-d", DEVICES), make_edge("gw-d", DEVICES, ring=ring, answer=applied)

    def lose():
        """What a killed broker does to a retained message."""
        deaf.driver.publish(channel.topic("gw-d", channel.DESIRED), b"", 1, retain=True)

    async def script():
        deaf.start()
        await until(lambda: deaf.edge.born)
        done = await asyncio.to_thread(push, central, policy(folder, "lost"), "site:gw-d")
        assert done.returncode == 0, done.stderr
        await until(lambda: status(central, "gw-d")["desired"]["published"])
        lose()
        await until(lambda: not deaf.link.queued[0])
        await deaf.stop()
        edge.start()
        await until(lambda: status(central, "gw-d")["in_step"])
        told = len(edge.bundles)
        assert {bundle.generation for bundle in edge.bundles} == {1}
        # Answered, it is left in peace; a gateway that comes back and has nothing is offered it again.
        await edge.stop()
        again = make_edge("gw-d", DEVICES, ring=ring, answer=applied)
        again.start()
        await until(lambda: again.edge.born and again.bundles)
        assert len(edge.bundles) == told
        await again.stop()

    asyncio.run(script())


def unreadable(bundle):
    return channel.Reported(
        root_epoch=0,
        generation=0,
        state="refused",
        effective_hash="ab" * 32,
        since_utc=1.0,
        refused=channel.Refusal(0, "bad-signature", "it is signed by a key that this gateway does not know"),
    )


def test_a_refusal_without_a_generation_is_shown_as_well(central, make_edge, folder):
    """A gateway that trusts none of the keys cannot know which bundle it refuses."""
    ring = folder / "rings" / "gw-s.ring"
    done = central.command("vigie-central", "enrol", "gw-s", "--out", str(ring))
    assert done.returncode == 0, done.stderr
    edge = make_edge("gw-s", DEVICES, ring=ring, answer=unreadable)

    async def script():
        edge.start()
        await until(lambda: edge.edge.born)
        done = await asyncio.to_thread(push, central, policy(folder, "lonely"), "site:gw-s")
        assert done.returncode == 0, done.stderr
        await until(lambda: (status(central, "gw-s")["reported"] or {}).get("code") == "bad-signature")
        await edge.stop()

    asyncio.run(script())
    row = status(central, "gw-s")
    assert (row["reported"]["state"], row["in_step"]) == ("refused", False)
    assert "does not know" in row["reported"]["reason"]


def test_the_audit_cannot_be_changed_and_a_change_would_show(make_central):
    from sqlalchemy import text

    from vigie_central.settings import StateDir
    from vigie_central.store import audit
    from vigie_central.store.history import StoreError
    from vigie_central.store.records import Records

    central = make_central("audited")
    records = Records(StateDir(central.state))
    records.open()
    try:
        for number in range(3):
            records.call(
                lambda connection, n=number: audit.append(connection, n, "me", "did", "it", {"n": n})
            )
        for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
            with pytest.raises(StoreError, match="append-only"):
                records.call(lambda connection, statement=statement: connection.execute(text(statement)))
        assert records.call(audit.verify) is None
        # Who owns the database can take the guard away; the chain tells all the same.
        records.call(lambda connection: connection.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL")))
        records.call(lambda c: c.execute(text("UPDATE audit SET body = '{}' WHERE seq = 2")))
        assert records.call(audit.verify) == 2
    finally:
        records.close()


WRONG = {
    "unknown field": ({"colour": "red"}, "colour"),
    "unknown kind": ({"kind": "signal.magic"}, "kind"),
    "unknown parameter": ({"params": {"speed": 1}}, "params.speed"),
    "no version": ({"version": 0}, "version"),
    "ends before it begins": ({"not_after": 0.5, "valid_from": 1.0}, "not_after"),
    "other scope": ({"scope": {"level": "site", "name": "gw-z"}}, "scope"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_document_is_one_message_and_exit_code_2(central, folder, case):
    more, field = WRONG[case]
    path = policy(folder, f"wrong-{case.replace(' ', '-')}", **more)
    for command in ("validate", "push"):
        done = central.command("vigie", "policy", command, str(path), "--scope", "site:gw-a")
        assert done.returncode == 2, done.stdout
        assert str(path) in done.stderr
        assert field in done.stderr
        assert "Traceback" not in done.stderr


def test_signatures_scopes_and_audiences_are_checked(central, folder):
    path, out = policy(folder, "signed"), folder / "signed.dsse"
    done = central.command("vigie", "policy", "sign", str(path), "--scope", "site:gw-a", "--out", str(out))
    assert done.returncode == 0, done.stderr
    envelope = json.loads(out.read_text())
    forged = {**envelope, "payload": envelope["payload"][::-1].lstrip("=")}
    stranger = json.loads(out.read_text())
    stranger["signatures"][0]["keyid"] = "0" * 32
    answers = {
        "other scope": central.call("POST", "/api/v1/policies/push", {"envelope": envelope, "scope": "city"}),
        "forged": central.call("POST", "/api/v1/policies/push", {"envelope": forged, "scope": "site:gw-a"}),
        "stranger": central.call(
            "POST", "/api/v1/policies/push", {"envelope": stranger, "scope": "site:gw-a"}
        ),
    }
    assert {case: status for case, (status, _) in answers.items()} == {
        "other scope": 409,
        "forged": answers["forged"][0],
        "stranger": 403,
    }
    assert answers["forged"][0] in (400, 403)
    assert answers["other scope"][1]["code"] == "scope"
    accepted = central.command("vigie", "policy", "push", str(out))
    assert accepted.returncode == 0, accepted.stderr
