import assert from "node:assert/strict";
import { test } from "node:test";

import catalogue from "./sentences.json" with { type: "json" };
import { french } from "./sentences.ts";

const pairs = Object.values(catalogue as Record<string, Record<string, string>>).flatMap(Object.entries);

test("a known sentence is told in French with its figures", () => {
  const red = "demand has waited 91 s on red: called now, to be green by its limit of 120 s";
  assert.equal(
    french(red),
    "une demande attend au rouge depuis 91\u00a0s\u00a0: appelée maintenant, pour passer au vert avant sa limite de 120\u00a0s",
  );
  assert.equal(french("the well is below 0.45 m"), "la bâche est sous 0,45\u00a0m");
  assert.equal(french("UTC cannot be trusted; the photocell says day with 112425 lux")?.includes("(112\u00a0425\u00a0lux)"), true);
});

test("a sentence within a sentence is translated too, or nothing is", () => {
  assert.equal(french("latched: the starter reports a fault"), "verrouillé\u00a0: le démarreur signale un défaut");
  assert.equal(french("80 %: the sun is down"), "80\u00a0%\u00a0: le soleil est couché");
  assert.equal(french("latched: something new"), null);
});

test("what a link says of a device that is gone is told too", () => {
  assert.equal(french("192.0.2.7:502: Connection refused"), "192.0.2.7:502\u00a0: connexion refusée");
  assert.equal(french("holding 4: function 3: illegal data address"), "registre 4\u00a0: fonction 3\u00a0: adresse interdite");
  assert.equal(french("session ended: the node said so"), "session terminée\u00a0: la passerelle l’a annoncé");
});

test("what is not known is left alone, and nothing makes it throw", () => {
  const odd = ["", " ", "{s}", "$&", "(", "constructor", "__proto__", "a".repeat(100_000), "latched: ".repeat(50), "\u0000\n"];
  for (const said of [...odd, null, undefined, 7, {}, []]) assert.equal(french(said), null);
  assert.equal(french("panel: constructor"), null);
});

test("every French template uses each placeholder of the English one, and no other", () => {
  const names = (text: string) => [...text.matchAll(/\{(\w+)/g)].map(([, name]) => name).sort();
  for (const [english, told] of pairs) assert.deepEqual([...new Set(names(told))], [...new Set(names(english))], english);
});

test("every template is understood when it is said", () => {
  const said: Record<string, string> = {
    list: "2, 6", value: "False", word: "gap-out", point: "ps/level", name: "a-b", unit: "m3/s", text: "x y", sentence: "running",
  };
  for (const [english, told] of pairs) {
    const example = english.replace(/\{\w+(?::(\w+))?\}/g, (_, kind?: string) => said[kind ?? ""] ?? "12.5");
    assert.notEqual(french(example), null, example);
    if (!told.includes("{")) assert.equal(french(example)?.replaceAll("\u00a0", " "), told);
  }
});
