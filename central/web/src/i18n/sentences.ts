// Gateways give their reasons in plain English, made from templates; here is the French of each.
// The catalogue is sentences.json, English template to French template. A placeholder says what it takes:
// {s} a number, {p:list} numbers with commas, {v:value} a value as written in Python, {w:word} a stable word of the
// dictionary, {p:point} a point's full name, {u:unit} a unit, {n:name} anything without a space, {t:text} anything,
// {why:sentence} another sentence of the catalogue. What no template knows stays English: the words of operating
// systems and libraries, of people, and names of parameters.
import { fr } from "./fr.ts";
import catalogue from "./sentences.json" with { type: "json" };

const NUMBER = String.raw`[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|inf)|nan`;
const TAKES: Record<string, string> = {
  number: NUMBER,
  list: String.raw`\d+(?:, \d+)*`,
  value: `True|False|None|'[^']*'|${NUMBER}`,
  word: "[a-z][a-z0-9-]*",
  point: String.raw`[\w.-]+/[\w./-]+`,
  name: String.raw`\S+`,
  unit: String.raw`\S+`,
  text: ".+?",
  sentence: ".+",
};
const PLACEHOLDER = /\{(\w+)(?::(\w+))?\}/g;
// Nothing that a gateway says is longer; what is longer came from elsewhere.
const LONGEST = 500;
const DEEPEST = 4;

interface Template {
  pattern: RegExp;
  /** Name and kind of each placeholder, in the order of the pattern's groups. */
  places: { name: string; kind: string }[];
  french: string;
}

const exact = new Map<string, string>();
const templates: Template[] = [];
for (const group of Object.values(catalogue as Record<string, Record<string, string>>)) {
  for (const [english, french] of Object.entries(group)) {
    if (english.includes("{")) templates.push(compile(english, french));
    else exact.set(english, typeset(french));
  }
}
// What says most by itself comes first: a template that takes almost anything only gets what no other knows.
templates.sort((a, b) => weight(b) - weight(a));

/** The French of a gateway's sentence, null when it is not known. Takes anything and never throws. */
export function french(said: unknown, depth = 0): string | null {
  if (typeof said !== "string" || said.length > LONGEST || depth > DEEPEST) return null;
  const known = exact.get(said);
  if (known !== undefined) return known;
  for (const { pattern, places, french: template } of templates) {
    const found = pattern.exec(said);
    const values = found && fill(places, found.slice(1), depth);
    if (values) return typeset(template).replace(PLACEHOLDER, (_, name: string) => values.get(name) ?? "");
  }
  return null;
}

function fill(places: Template["places"], found: string[], depth: number): Map<string, string> | null {
  const values = new Map<string, string>();
  for (const [place, { name, kind }] of places.entries()) {
    const value = told(kind, found[place] ?? "", depth);
    if (value === null) return null;
    values.set(name, value);
  }
  return values;
}

function told(kind: string, value: string, depth: number): string | null {
  switch (kind) {
    case "sentence":
      return french(value, depth + 1);
    case "word":
      return Object.hasOwn(fr.words, value) ? (fr.words[value] ?? value) : value;
    case "number":
      return figure(value);
    case "value":
      if (value.startsWith("'")) return value.slice(1, -1);
      return { True: fr.page.yes, False: fr.page.no, None: fr.page.noValue }[value] ?? figure(value);
    case "unit":
      return value.replace("m3", "m³");
    default:
      return value;
  }
}

function figure(value: string): string {
  const whole = value.replace(/^\d{5,}/, (digits) => digits.replace(/\B(?=(\d{3})+$)/g, "\u00a0"));
  return whole.replace(".", ",").replace(/^-/, "\u2212");
}

/** No-break spaces where French wants them: before a colon and between a figure and its unit. */
function typeset(text: string): string {
  return text.replaceAll(" :", "\u00a0:").replace(/(\{\w+\}) (?=(?:s|m|A|%|lux|véh·s)(?![\p{L}\d]))/gu, "$1\u00a0");
}

function compile(english: string, french: string): Template {
  const places: Template["places"] = [];
  let source = "";
  let last = 0;
  for (const match of english.matchAll(PLACEHOLDER)) {
    const kind = match[2] ?? "number";
    places.push({ name: match[1] ?? "", kind });
    source += `${escape(english.slice(last, match.index))}(${TAKES[kind] ?? ".+?"})`;
    last = match.index + match[0].length;
  }
  return { pattern: new RegExp(`^${source}${escape(english.slice(last))}$`), places, french };
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}

function weight({ pattern, places }: Template): number {
  const open = places.reduce((sum, { kind }) => sum + (TAKES[kind]?.length ?? 0) + 2, 0);
  return pattern.source.length - open;
}
