import assert from "node:assert/strict";
import { test } from "node:test";

import { backoff } from "../api/backoff.ts";
import type { Feature, Inventory } from "../api/types.ts";
import { en } from "../i18n/en.ts";
import { fr } from "../i18n/fr.ts";
import { clock, quantity, span } from "../lib/format.ts";
import { DISC_RADIUS, headOffsets } from "../map/placement.ts";
import { middle } from "../map/streets.ts";
import { entries, notable, tell } from "./events.ts";
import { bounds, deviceName, pumps, sites } from "./inventory.ts";
import { rows, type Telling } from "./rows.ts";
import { heldSum, Series } from "./series.ts";
import { Values } from "./values.ts";

function feature(id: string, properties: Partial<Feature["properties"]>): Feature {
  return {
    type: "Feature",
    id,
    geometry: { type: "Point", coordinates: [-73.6, 45.5] },
    properties: { kind: "signal", name: { fr: id, en: id }, gateway: "gw", device: "jct", ...properties },
  };
}

const inventory: Inventory = {
  type: "FeatureCollection",
  features: [
    feature("jct", { kind: "junction", name: { fr: "Carrefour A", en: "Junction A" } }),
    feature("h1", { points: { lamp: "jct/head.1" }, bearing: 90 }),
    feature("h2", { points: { lamp: "jct/head.2" }, bearing: 90 }),
    feature("p1", { points: { lamp: "jct/ped.1" }, bearing: 90, pedestrian: true }),
    feature("ps", { kind: "pump-station", device: "ps", points: { level: "ps/level", "pump.2": "ps/p2", "pump.1": "ps/p1" } }),
    feature("cab", { kind: "cabinet", device: "cab", points: { power: "meter/power" }, units: { power: "W" } }),
    feature("l1", { kind: "lamp", device: "cab", points: { level: "cab/1.level", fault: "cab/1.fault" } }),
  ],
};

function telling(values: Values, stale = false): Telling {
  return { values, stale: () => stale, t: en, language: "en", locale: "en-CA" };
}

test("whoever listens hears once per batch what changed", () => {
  const values = new Values();
  const heard: string[][] = [];
  const stop = values.subscribe((changed) => heard.push([...changed]));
  values.apply([["gw", "jct/head.1", 3, 2, 100], ["gw", "jct/head.2", 1, 2, 100]]);
  stop();
  values.apply([["gw", "jct/head.1", 1, 2, 101]]);
  assert.deepEqual(heard, [["gw jct/head.1", "gw jct/head.2"]]);
  assert.equal(values.get("gw", "jct/head.1")?.value, 1);
});

test("events speak the page's language, as far as their words are known", () => {
  const event = { kind: "intervention", body: { source: "guard", subject: "pump 1", what: "min-off", reason: "it must rest 30 s more" } };
  const line = "pompe 1 · repos minimal";
  const reason = "elle doit rester arrêtée encore 30\u00a0s";
  assert.deepEqual(tell(event, fr), { sort: "Garde-fou", line, place: "", reason, lang: "fr" });
  const elsewhere = tell({ ...event, body: { ...event.body, subject: "tisserands: phase 4" } }, en);
  assert.deepEqual([elsewhere.place, elsewhere.line], ["tisserands", "phase 4 · minimum rest"]);
  assert.equal(tell(event, en).reason, "it must rest 30 s more");
  assert.equal(tell({ kind: "decision", body: { source: "guard", subject: "basin gate", what: "drift" } }, fr).line.split(" · ")[0], "vanne du bassin");
  assert.equal(tell({ kind: "decision", body: { source: "policy", subject: "bundle", what: "new-word" } }, fr).line, "lot · new-word");
  const base = { gateway: "gw", utc: 0, seq: 0 };
  assert.equal(notable({ ...base, kind: "decision", body: { source: "signal.actuated" } }), false);
  assert.equal(notable({ ...base, kind: "decision", body: { source: "policy" } }), true);
  assert.equal(notable({ ...base, ...event }), true);
});

test("what several gateways did together is one line of the log", () => {
  const body = { source: "policy", subject: "bundle", what: "applied", reason: "generation 1" };
  const at = (gateway: string, seq: number, utc: number, more = {}) => ({ gateway, seq, utc, kind: "decision", body: { ...body, ...more } });
  const told = entries([at("c", 4, 11), at("b", 3, 10), at("a", 2, 10, { reason: "generation 2" }), at("a", 1, 1)], fr);
  assert.deepEqual(told.map(({ seq, where }) => [seq, where]), [[4, ["c", "b"]], [2, ["a"]], [1, ["a"]]]);
});

test("a device is called as the inventory calls it", () => {
  assert.equal(deviceName(inventory, "gw", "jct", "fr"), "Carrefour A");
  assert.equal(deviceName(inventory, "gw", "nothing", "fr"), "nothing");
  assert.equal(deviceName(null, "gw", "jct", "en"), "jct");
});

test("an alarm is told by its title, else by its point", () => {
  const body = { source: "raised", subject: "cab-a/lamp.25.fault", what: "limit", reason: "cab-a/lamp.25.fault is 1" };
  const title = { fr: "Lampadaire 25 en défaut", en: "Lamp 25 fault" };
  const alarm = { kind: "alarm", body: { ...body, title } };
  assert.deepEqual(tell(alarm, fr), { sort: "Alarme", line: title.fr, place: "cab-a", reason: "", lang: "en" });
  assert.equal(tell(alarm, en).line, title.en);
  const bare = tell({ kind: "alarm", body }, fr);
  assert.deepEqual([bare.line, bare.reason], ["cab-a/lamp.25.fault", "vaut 1"]);
  const flow = { ...body, source: "cleared", subject: "ps/flow", reason: "ps/flow 0.5 m3/s is above 0.005 m3/s" };
  assert.equal(tell({ kind: "alarm", body: { ...flow, title: "odd" } }, fr).reason, "vaut 0,5\u00a0m³/s, au-dessus de 0,005\u00a0m³/s");
});

test("the table says what the map shows", () => {
  const values = new Values();
  values.apply([
    ["gw", "jct/head.1", 3, 2, 1],
    ["gw", "jct/head.2", 1, 2, 1],
    ["gw", "jct/ped.1", 6, 1, 1],
    ["gw", "ps/level", 1.25, 2, 1],
    ["gw", "ps/p1", true, 2, 1],
    ["gw", "ps/p2", false, 2, 1],
    ["gw", "cab/1.level", 60, 2, 1],
    ["gw", "cab/1.fault", 1, 2, 1],
  ]);
  const [junction, station, cabinet] = rows(inventory, [], telling(values));
  assert.deepEqual(junction?.aspects, [{ state: 3, count: 1 }, { state: 1, count: 1 }]);
  assert.deepEqual(junction?.parts.map((part) => part.state), ["green", "red", "finish crossing"]);
  assert.equal(junction?.quality, 1, "the worst of its heads");
  assert.equal(station?.state, "level 1.25\u00a0m, 1 of 2 pumps running");
  assert.equal(cabinet?.alert, true);
  assert.match(cabinet?.state ?? "", /1 of 1 lit, 1\u00a0fault/);
});

test("a bad value is not shown as a value, an unread point has no quality", () => {
  const values = new Values();
  values.apply([["gw", "ps/level", 1.25, 0, 1]]);
  const [junction, station] = rows(inventory, [], telling(values));
  assert.equal(station?.quality, 0);
  assert.doesNotMatch(station?.state ?? "", /1\.25/);
  assert.equal(junction?.quality, null);
});

test("devices that no inventory names still have a row", () => {
  const device = { name: "gate", online: false, since: 0, points: 3 };
  const gateway = {
    id: "gw", group: "vigie", district: null, enrolled: true, online: true, stale: false, since: 0,
    devices: [device, { ...device, name: "ps", online: true }], desired: null, reported: null, in_step: null,
  };
  const found = rows(inventory, [gateway], telling(new Values()));
  assert.deepEqual(found.map((row) => row.id), ["jct", "ps", "cab", "gw gate"]);
  assert.equal(found.at(-1)?.alert, true);
});

test("heads and lamps belong to their site, pumps come in order", () => {
  const found = sites(inventory);
  assert.deepEqual(found.map((site) => site.parts.length), [3, 0, 1]);
  assert.deepEqual(pumps(found[1]!.feature).map((pump) => pump.point), ["ps/p1", "ps/p2"]);
  assert.deepEqual(bounds(inventory), [-73.6, 45.5, -73.6, 45.5]);
});

test("several heads of one movement are told once", () => {
  const heads = [
    feature("a", { bearing: 62, phase: 2, points: { lamp: "jct/1" } }),
    feature("b", { bearing: 63, phase: 2, points: { lamp: "jct/2" } }),
    feature("c", { bearing: 62, phase: 5, points: { lamp: "jct/3" } }),
    feature("d", { bearing: 62, phase: 2, pedestrian: true, points: { lamp: "jct/4" } }),
  ];
  const [junction] = sites({ ...inventory, features: [inventory.features[0]!, ...heads] });
  assert.deepEqual(junction?.parts.map((part) => part.id), ["a", "c", "d"]);
});

test("heads stand inside the disc, on their approach's side, and do not cover each other", () => {
  const heads = [0, 90, 180, 270].flatMap((bearing) => [
    feature(`a${bearing}`, { bearing }),
    feature(`b${bearing}`, { bearing }),
    feature(`w${bearing}`, { bearing, pedestrian: true }),
  ]);
  const places = [...headOffsets(heads)];
  for (const [, [x, y]] of places) assert.ok(Math.hypot(x, y) <= DISC_RADIUS);
  for (const [id, [x, y]] of places) {
    for (const [other, [u, v]] of places) {
      if (id < other) assert.ok(Math.hypot(x - u, y - v) > 12, `${id} covers ${other}`);
    }
  }
  // Northbound traffic comes from the south: its heads stand below the middle.
  const south = headOffsets([feature("n", { bearing: 0 })]).get("n") ?? [0, 0];
  assert.ok(Math.abs(south[0]) < 1e-9 && south[1] > 0);
});

test("a street's name follows it and is never upside down", () => {
  const east = middle([[-73.6, 45.5], [-73.59, 45.5]]);
  const west = middle([[-73.59, 45.5], [-73.6, 45.5]]);
  assert.ok(Math.abs(east.angle) < 1e-9 && Math.abs(west.angle) < 1e-9);
  const [up, down] = [middle([[-73.6, 45.5], [-73.6, 45.51]]), middle([[-73.6, 45.51], [-73.6, 45.5]])];
  assert.equal(Math.abs(up.angle), 90);
  assert.equal(up.angle, down.angle);
});

test("a series stays in order and small however long it runs", () => {
  const series = new Series(100, 1);
  for (let time = 0; time < 10_000; time++) series.push(time, time);
  series.push(5, -1);
  assert.ok(series.times.length <= 100);
  assert.equal(series.last, 9999);
  assert.deepEqual([...series.times].sort((a, b) => a - b), series.times);
  series.prepend([-20, -10, 0, 10], [1, 2, 3, 4]);
  assert.deepEqual(series.times.slice(0, 3), [-20, -10, 0]);
});

test("a sum of sites begins when the last of them has spoken and holds each until its next value", () => {
  assert.deepEqual(heldSum([[[1, 10], [4, 20]], [[2, 1], [3, 2]]]), [[2, 3, 4], [11, 12, 22]]);
  assert.deepEqual(heldSum([[[1, 10]], []]), [[], []]);
});

test("back-off grows, is spread out and has a ceiling", () => {
  assert.equal(backoff(0, 0), 0.1);
  assert.ok(backoff(3, 1) > backoff(2, 1));
  assert.equal(backoff(50, 1), 15.1);
});

test("numbers and times follow the locale", () => {
  assert.equal(quantity("fr-CA", 1234.5, "kW"), "1\u00a0235\u00a0kW");
  assert.equal(quantity("en-CA", 1.234, "m"), "1.23\u00a0m");
  assert.equal(clock("fr-CA", 0, "America/Montreal"), "19:00:00");
  assert.equal(span(65), "1\u00a0min\u00a005\u00a0s");
  assert.equal(fr.header.speed("38"), "38 × le temps réel");
});
