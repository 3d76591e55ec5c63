import assert from "node:assert/strict";
import { test } from "node:test";

import { en } from "./en.ts";
import { fr } from "./fr.ts";

function paths(value: unknown, prefix = ""): Map<string, string> {
  const found = new Map<string, string>();
  if (typeof value !== "object" || value === null) return found.set(prefix, typeof value);
  for (const [key, inner] of Object.entries(value)) {
    for (const [path, type] of paths(inner, prefix ? `${prefix}.${key}` : key)) found.set(path, type);
  }
  return found;
}

test("both languages have the same strings, of the same kind", () => {
  assert.deepEqual([...paths(en)].sort(), [...paths(fr)].sort());
});

test("no string is empty, and none was left in the other language", () => {
  const [french, english] = [strings(fr), strings(en)];
  for (const [path, text] of [...french, ...english]) assert.notEqual(text.trim(), "", path);
  // The same in both languages by nature.
  const same = /^(alarms\.severity\.(info|urgent)|events\.kinds\.(alarm|raised)|gateways\.hash|map\.(scale.*)|lampLetter.*|walkLetter.*|figures\.delay)$/;
  const long = [...french].filter(([path, text]) => text.length > 12 && english.get(path) === text && !same.test(path));
  assert.deepEqual(long, []);
});

function strings(value: unknown, prefix = "", found = new Map<string, string>()): Map<string, string> {
  if (typeof value === "string") found.set(prefix, value);
  else if (typeof value === "object" && value !== null) {
    for (const [key, inner] of Object.entries(value)) strings(inner, prefix ? `${prefix}.${key}` : key, found);
  }
  return found;
}
