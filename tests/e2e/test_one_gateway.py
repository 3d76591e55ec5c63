"""One real gateway in wall-clock time: its devices come late, and its policies come from where they should not.

The agent is started before its devices exist. Whoever may publish at the broker may put anything on a gateway's
topic, so the wrong bundles here come from a plain MQTT client; each must be refused with a reason that the
coordinator shows, while the policy in force stays in force.
"""

import asyncio
import base64
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.gateway import (
    BAD,
    GATEWAY,
    GOOD,
    NEIGHBOUR,
    OUTPUTS,
    WIRE_BAD,
    Stack,
    all_good,
    answers,
    gateway_stack,
    points,
    quality_of,
    standing,
)
from tests.e2e.stack import WAIT_S, Said, run_command
from tests.e2e.stack import until_true as until

from vigie_protocols.gateway import load_gateway
from vigie_protocols.localsocket import ask
from vigie_sim.agents import Agent


@pytest.fixture(scope="module")
def stack(shelf: Path) -> Iterator[Stack]:
    with gateway_stack(shelf) as made:
        yield made


def test_devices_that_are_not_there_are_bad_and_what_depends_on_them_is_safe(stack: Stack) -> None:
    declared = {decl.name: decl for decl in load_gateway(stack.agent.file).points}
    assert stack.born == dict.fromkeys(declared, (None, WIRE_BAD))
    assert stack.alarms == ["basin", "pump-station"]
    assert {name: stack.decided[name][0] for name in OUTPUTS} == {
        name: declared[name].safe for name in OUTPUTS
    }


def test_a_device_that_goes_costs_its_neighbour_nothing(stack: Stack) -> None:
    until(lambda: all_good(stack.central), "every point is good")
    stack.places[1].take_away()
    until(lambda: quality_of(stack.central, "basin") == {BAD}, "the basin's points are bad")
    until(lambda: standing(stack.central, 1) == ["basin"], "its alarm, and no other")
    assert quality_of(stack.central, "pump-station") == {GOOD}
    stack.places[1].there = True
    until(lambda: all_good(stack.central), "every point is good again")


def test_a_bundle_with_a_bad_signature(stack: Stack) -> None:
    envelope = json.loads(stack.in_force(1.2))
    signature = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    signature[7] ^= 1
    envelope["signatures"][0]["sig"] = base64.b64encode(bytes(signature)).decode()
    stack.inject(json.dumps(envelope).encode())
    assert "signature" in stack.refused("bad-signature")
    assert stack.level == (1.2, stack.version)


def test_a_bundle_with_another_content_than_was_signed(stack: Stack) -> None:
    envelope = json.loads(stack.in_force(1.3))
    payload = json.loads(base64.b64decode(envelope["payload"]))
    payload["generation"] += 10
    envelope["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    stack.inject(json.dumps(envelope).encode())
    stack.refused("bad-signature")
    assert stack.level == (1.3, stack.version)


def test_an_older_bundle(stack: Stack) -> None:
    older = stack.in_force(1.1)
    stack.in_force(1.4)
    stack.inject(older)
    assert "is not above" in stack.refused("older-generation")
    assert stack.level == (1.4, stack.version)


def test_another_gateways_bundle(stack: Stack) -> None:
    stack.in_force(1.25)
    stack.inject(stack.bundle(NEIGHBOUR))
    assert f"it is for {NEIGHBOUR}, this is {GATEWAY}" in stack.refused("wrong-audience")
    assert stack.level == (1.25, stack.version)


def test_a_value_outside_the_guards_envelope(stack: Stack) -> None:
    """Nothing is wrong with the document for those who do not know the site: only its gateway can tell."""
    stack.in_force(1.15)
    version = stack.version
    said = stack.push(stack.policy(5.0))
    assert said.code == 0, said.err
    assert "lead_start_m" in stack.refused("outside-envelope")
    assert stack.level == (1.15, version)


def test_rubbish_is_told_as_such_and_changes_nothing(stack: Stack) -> None:
    stack.in_force(1.35)
    stack.inject(b"\x00 no envelope")
    stack.refused("bad-document")
    assert stack.level == (1.35, stack.version)


def control_killed(agent: Agent) -> None:
    pid = agent.kill_child("control")
    until(lambda: agent.child_pid("control") not in (0, pid), "control started again")
    scans = agent.status()["counters"]["control.scans"]
    until(lambda: agent.status()["counters"]["control.scans"] > scans + 3, "control scans")


def test_a_killed_control_keeps_its_policy_also_with_rubbish_on_the_shelf(stack: Stack) -> None:
    bundle = stack.in_force(1.22)
    control_killed(stack.agent)
    assert stack.level == (1.22, stack.version)
    until(lambda: stack.row["in_step"], "it says again which bundle it runs")
    stack.inject(b"{}")
    stack.refused("bad-document")
    control_killed(stack.agent)
    assert stack.level == (1.22, stack.version)
    stack.inject(bundle)
    until(lambda: stack.row["in_step"], "the bundle itself ends the refusal")


def test_after_a_power_cut_the_policy_comes_from_the_disk_alone(stack: Stack) -> None:
    stack.in_force(1.18)
    note = stack.central.state / "broker" / "broker.json"
    stack.central.kill()
    os.kill(json.loads(note.read_text())["pid"], signal.SIGKILL)
    try:
        told = stack.agent.status()
        for pid in (told["supervisor"], *(row["pid"] for row in told["processes"].values())):
            os.kill(pid, signal.SIGKILL)
        assert stack.agent.process is not None
        stack.agent.process.wait(WAIT_S)
        shutil.rmtree(stack.agent.runtime)
        stack.agent.start()
        until(
            lambda: answers(stack.agent) and "water.level" in str(stack.effective), "the policy is in force"
        )
        assert stack.level == (1.18, stack.version)
        assert stack.agent.status()["counters"]["uplink.connected"] == 0
    finally:
        asyncio.run(stack.central.start())
    until(lambda: stack.row["in_step"], "the coordinator knows again")
    until(lambda: all_good(stack.central), "every point is good")


def test_an_older_version_and_a_changed_one_do_not_leave_the_desk(stack: Stack) -> None:
    first = stack.policy(1.2)
    stack.in_force(1.3)
    older = stack.push(first)
    assert older.code == 1
    assert f"version {stack.version} is in the store already" in older.err
    stack.version -= 1
    changed = stack.push(stack.policy(1.25))
    assert changed.code == 1
    assert "with other content" in changed.err
    assert stack.level == (1.3, stack.version)


def test_a_document_signed_by_a_stranger_does_not_leave_the_desk(stack: Stack) -> None:
    stack.in_force(1.2)
    strangers = stack.folder / "strangers"
    assert run_command("vigie-central", "init", "--state", strangers, limit_s=WAIT_S).code == 0
    signed = stack.folder / "strange.json"
    words = ("policy", "sign", stack.policy(1.4), "--scope", "city", "--out", signed, "--state", strangers)
    assert run_command("vigie", *words, limit_s=WAIT_S).code == 0
    said = stack.push(signed)
    assert said.code == 1
    assert "sign" in said.err
    assert stack.level == (1.2, stack.version - 1)


def order(stack: Stack, *words: str) -> Said:
    return run_command("vigie", *words, "--state", stack.central.state, limit_s=WAIT_S)


def test_a_lease_from_the_operations_centre_is_signed_answered_and_audited(stack: Stack) -> None:
    point = "basin/gate.command"
    who = ("--holder", "M. Tremblay", "--reason", "essai de vanne")
    said = order(stack, "lease", "take", GATEWAY, point, "35", "--for", "120", *who)
    assert said.code == 0, said.err
    name = said.out.partition(":")[0]
    (held,) = ask(stack.agent.runtime, "lease.list")["result"]["leases"]
    assert (held["id"], held["origin"], held["forces"]) == (name, "emergency", {point: 35})
    # The write gate lets it move by two percent a second.
    until(lambda: points(stack.central)[point][0] <= 95, "the gate goes where the lease wants it")
    assert "essai de vanne" in order(stack, "lease", "list", GATEWAY).out
    stranger = order(stack, "lease", "release", GATEWAY, name, "--holder", "somebody else")
    assert stranger.code == 1
    assert order(stack, "lease", "release", GATEWAY, name, "--holder", "M. Tremblay").code == 0
    assert ask(stack.agent.runtime, "lease.list")["result"]["leases"] == []

    def told() -> list[str]:
        rows = stack.central.call("GET", f"events?gateway={GATEWAY}&limit=1000")["events"]
        return [str(row["body"]) for row in rows if "M. Tremblay: essai de vanne" in str(row["body"])]

    until(told, "the gateway's journal tells of it")


def test_a_command_that_cannot_be_is_refused_in_one_line(stack: Stack) -> None:
    who = ("--holder", "M. Tremblay", "--reason", "essai")
    unknown = order(stack, "lease", "take", GATEWAY, "basin/no_such", "35", *who)
    assert (unknown.code, "no writable point" in unknown.err) == (1, True)
    away = order(stack, "lease", "take", NEIGHBOUR, "basin/gate.command", "35", *who)
    assert (away.code, "is not connected" in away.err) == (1, True)
    nobody = order(stack, "lease", "list", "gw-nobody")
    assert (nobody.code, "enrolled" in nobody.err) == (1, True)
    value = order(stack, "lease", "take", GATEWAY, "basin/gate.command", "much", *who)
    assert (value.code, "not a JSON value" in value.err) == (2, True)
    assert all("Traceback" not in said.err for said in (unknown, away, nobody, value))
