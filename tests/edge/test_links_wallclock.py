"""A dead device costs its neighbour nothing; the uplink, killed or without a broker, costs no scan."""

import signal
import socket
from pathlib import Path

import yaml
from tests.edge.wallclock import Agent, WaterSite, events, until, water_agent, water_gateway

from vigie_protocols.broker import Broker


def test_a_device_that_never_answers_delays_no_other(tmp_path: Path) -> None:
    with WaterSite() as site, socket.create_server(("127.0.0.1", 0)) as black_hole:
        file = water_gateway(tmp_path, site)
        data = yaml.safe_load(file.read_text())
        data["links"]["basin"]["port"] = black_hole.getsockname()[1]
        file.write_text(yaml.safe_dump(data))
        agent = Agent(file)
        try:
            agent.start()
            silent = agent.counters()["field.safe_writes"]  # a start counts: nobody drove anything yet
            site.level = 2.0
            until(
                lambda: any(site.values()[f"pump-station/pump.{n}.command"] for n in (1, 2)), why="for a pump"
            )
            first = int(site.values()["pump-station/heartbeat"])
            until(
                lambda: int(site.values()["pump-station/heartbeat"]) >= first + 3,
                why="for the heart to go on",
            )
            until(
                lambda: any(
                    one["what"] == "device-down" and one["subject"] == "basin" for one in events(agent)
                )
            )
            counters = agent.counters()
            assert counters["field.safe_writes"] == silent, (
                "outputs expired while a write waited for the dead device"
            )
            assert agent.status()["processes"]["field"]["restarts"] == 0
            assert agent.stop() == 0
            assert not any(site.values()[f"pump-station/pump.{n}.command"] for n in (1, 2))
        finally:
            agent.end()


def test_an_uplink_that_is_killed_costs_no_scan(tmp_path: Path) -> None:
    with Broker(tmp_path / "broker") as broker:
        uplink = {"host": "127.0.0.1", "port": broker.port, "keepalive_s": 5}
        with water_agent(tmp_path / "gw", uplink=uplink) as (site, agent):
            until(lambda: agent.counters()["uplink.connected"] and agent.counters()["uplink.published"])
            silent = agent.counters()["field.safe_writes"]
            for _ in range(3):
                old = agent.kill("uplink", signal.SIGKILL)
                until(lambda old=old: agent.pid("uplink") != old)
            published = agent.counters()["uplink.published"]
            site.level = 2.0
            until(
                lambda: agent.counters()["uplink.published"] > published, why="for the next uplink to publish"
            )
            counters = agent.counters()
            assert counters["field.safe_writes"] == silent and counters["control.restarts"] == 0
            broker.stop()
            until(lambda: not agent.counters()["uplink.connected"], why="for the uplink to notice")
            until(lambda: agent.status()["uplink_trouble"], why="for the reason in status")
            assert "no link to the broker" in agent.log.read_text()
            scans = agent.counters()["control.scans"]
            until(lambda: agent.counters()["control.scans"] > scans + 5)
            assert agent.counters()["field.safe_writes"] == silent
            assert agent.stop() == 0
            assert agent.left_over() == []
