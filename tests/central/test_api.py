"""Every route: its permission, its errors; the live channel; start-up refusals."""

import asyncio
import json
import urllib.request

import pytest
import websockets
from fastapi import FastAPI

from vigie_central.api.access import Require, UndeclaredRoute, check_routes
from vigie_protocols.points import ValueType

DEVICES = {"lamps": {"power": ValueType.FLOAT}}
FEATURE = {
    "type": "Feature",
    "id": "lamp-1",
    "geometry": {"type": "Point", "coordinates": [-73.57, 45.5]},
    "properties": {"kind": "lamp", "name": {"fr": "Lampadaire", "en": "Streetlight"}},
}


async def until(true):
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.02)


def paths(central):
    status, described = central.call("GET", "/api/v1/openapi.json", token=False)
    assert status == 200
    return described["paths"]


def test_no_route_changes_anything_without_the_token(central):
    operations = [
        (method, path) for path, methods in paths(central).items() for method in methods if method != "get"
    ]
    assert {path for _, path in operations} >= {"/api/v1/inventory", "/api/v1/run", "/api/v1/policies/push"}
    for method, path in operations:
        if path.endswith("/validate"):
            continue  # changes nothing
        status, problem = central.call(method.upper(), path.replace("{policy}", "x"), {}, token=False)
        assert status == 401, path
        assert problem["title"]


def test_every_read_answers_on_loopback_and_never_under_another_name(central):
    for path, methods in paths(central).items():
        if "get" not in methods:
            continue
        there = path.replace("{gateway}", "gw-a")
        status, body = central.call("GET", there, token=False)
        assert status in (200, 422, 503), (path, body)
        if there == "/healthz":
            continue
        request = urllib.request.Request(central.url + there, headers={"Host": "city.example"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code == 401
        refused.value.close()


def test_a_route_without_a_permission_stops_the_start():
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/told", dependencies=[])
    async def told() -> None: ...

    with pytest.raises(UndeclaredRoute, match="GET /told"):
        check_routes(app)
    with pytest.raises(UndeclaredRoute, match="/docs"):
        check_routes(FastAPI())
    assert Require("viewer").permission == "viewer"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("GET", "/history?gateway=gw-a", None, 422, "query.point"),
        ("GET", "/history?gateway=gw-a&point=no/such", None, 404, None),
        ("GET", "/points?gateway=nobody", None, 404, None),
        ("GET", "/points?limit=0", None, 422, "query.limit"),
        ("GET", "/gateways/nobody", None, 404, None),
        ("GET", "/nothing", None, 404, None),
        ("PUT", "/inventory", {"type": "FeatureCollection", "features": [{}]}, 422, "features.0"),
        (
            "PUT",
            "/inventory",
            {"type": "FeatureCollection", "features": [FEATURE, FEATURE]},
            422,
            "features.1.id",
        ),
        ("PUT", "/run", [1], 422, None),
        ("POST", "/policies/push", {"envelope": {}, "scope": "city"}, 400, None),
        ("POST", "/policies/push", {"envelope": {}, "scope": "city", "x": 1}, 422, "body.x"),
        ("POST", "/policies/nothing/withdraw", {}, 409, None),
    ],
)
def test_errors_are_problems_naming_the_field(central, method, path, body, status, field):
    found, problem = central.call(method, "/api/v1" + path, body)
    assert found == status, problem
    assert {"title", "status", "detail"} <= set(problem)
    if field is not None:
        assert field in [each["field"] for each in problem["problems"]]


def test_bodies_are_bounded_and_read_strictly(central):
    status, problem = central.call("PUT", "/api/v1/run", raw=b'{"a": "' + b"x" * 3_000_000 + b'"}')
    assert (status, problem["code"]) == (413, "too-large")
    for raw in (b'{"a": 1, "a": 2}', b'{"a": NaN}', b"{", b"\xff"):
        assert central.call("PUT", "/api/v1/run", raw=raw)[0] == 400


def test_inventory_and_run_come_back_as_they_were_put(central):
    inventory = {"type": "FeatureCollection", "features": [FEATURE]}
    assert central.call("PUT", "/api/v1/inventory", inventory) == (200, {"features": 1})
    assert central.get("/inventory") == inventory
    run = {"utc": 1.5, "state": "running", "speed": 30}
    assert central.call("PUT", "/api/v1/run", run)[0] == 204
    assert central.get("/run") == run


def test_metrics_and_health(central):
    status, text = central.call("GET", "/metrics")
    assert status == 200
    assert "vigie_broker_connected 1.0" in text
    assert "process_resident_memory_bytes" in text
    assert central.call("GET", "/healthz", token=False)[1]["ok"] is True


def test_the_root_gives_the_console_or_says_how_to_build_it(central):
    for path in ("/", "/a/place/within"):
        with urllib.request.urlopen(central.url + path, timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/html")
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
            assert b"Vigie" in answer.read()
    for path in ("/../server.py", "/..%2f..%2fserver.py", "/%2e%2e/server.py"):
        assert central.call("GET", path)[0] == 404


def test_live_gives_a_snapshot_and_then_what_changes(central, make_edge):
    edge = make_edge("gw-live", DEVICES)
    got = []

    async def script():
        address = central.url.replace("http", "ws") + "/api/v1/live"
        async with websockets.connect(address, max_size=None) as socket:
            first = json.loads(await socket.recv())
            assert first["type"] == "snapshot"
            assert {"gateways", "values", "alarms", "events", "run"} <= set(first)

            async def listen():
                async for text in socket:
                    got.append(json.loads(text))

            listener = asyncio.create_task(listen())
            edge.start()
            await until(lambda: edge.edge.born)
            edge.sample("lamps", 1_700_000_000_000, power=12.5)
            edge.tell({"kind": "note", "what": "hello"}, 1_700_000_000_000)
            central.call("PUT", "/api/v1/run", {"utc": 2.0})
            row = ["gw-live", "lamps/power", 12.5, 2, 1_700_000_000.0]
            await until(lambda: any(row in each.get("values", []) for each in got))
            await until(lambda: any(each["type"] == "event" for each in got))
            await until(lambda: {"type": "run", "run": {"utc": 2.0}} in got)
            await edge.stop()

            def seen_offline():
                states = [each["gateway"] for each in got if each["type"] == "gateway"]
                return any(s["id"] == "gw-live" and s["online"] for s in states) and any(
                    s["id"] == "gw-live" and not s["online"] for s in states[1:]
                )

            await until(seen_offline)
            await until(lambda: any(each["type"] == "alarms" and each["alarms"] for each in got))
            listener.cancel()
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with websockets.connect(address, origin="http://elsewhere.example"):
                pass
        assert refused.value.response.status_code == 403

    asyncio.run(script())


def test_commands_refuse_wrong_input_in_one_message(central, folder):
    cases = [
        (["vigie-central", "run", "--http", "nowhere"], "--http"),
        (["vigie-central", "run", "--broker", "x:y"], "--broker"),
        (["vigie-central", "run", "--log-level", "loud"], "--log-level"),
        (["vigie-central", "run", "--state", str(folder / "nothing")], "never initialised"),
        (["vigie-central", "run", "--http", "127.0.0.1:0"], "another coordinator runs"),
        (["vigie-central", "enrol", "Bad Name", "--out", "x"], "GATEWAY"),
        (["vigie-central", "init"], "there are keys already"),
        (["vigie", "fleet", "--state", str(folder / "nothing")], "no coordinator runs"),
        (["vigie", "policy", "push", str(folder / "none.yaml")], "no such file"),
        (["vigie", "nothing"], "nothing"),
    ]
    for words, text in cases:
        done = central.command(*words)
        assert done.returncode == 2, (words, done.stdout, done.stderr)
        assert text in done.stderr
        assert "Traceback" not in done.stderr


def test_fleet_and_events_are_printed(central, make_edge):
    edge = make_edge("gw-print", DEVICES)

    async def script():
        edge.start()
        await until(lambda: edge.edge.born)
        edge.tell({"kind": "intervention", "rule": "floor", "subject": "lamps", "reason": "below 30 %"})
        await until(lambda: not edge.journal)
        await edge.stop()

    asyncio.run(script())
    shown = central.command("vigie", "events", "--gateway", "gw-print", "--kind", "intervention")
    assert "floor  lamps  below 30 %" in shown.stdout
    fleet = json.loads(central.command("vigie", "fleet", "--json").stdout)
    assert "gw-print" in [each["id"] for each in fleet]
