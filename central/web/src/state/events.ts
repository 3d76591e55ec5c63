// What an event says in one line. Gateways send stable words and a reason in plain English: both are translated.
import type { VigieEvent } from "../api/types.ts";
import type { Dictionary } from "../i18n/fr.ts";
import { french } from "../i18n/sentences.ts";

export interface Told {
  /** What sort of thing it is: the guard, a policy, a decision. */
  sort: string;
  /** About what, and what happened. */
  line: string;
  /** The device or the loop, where the line does not name it. */
  place: string;
  /** Why. */
  reason: string;
  /** The reason's language: English where no French is known for it. */
  lang: "fr" | "en";
}

/** An event in the page's language, as far as its words are known. */
export function tell({ kind, body }: Pick<VigieEvent, "kind" | "body">, t: Dictionary): Told {
  const title = titled(body.title, t);
  const point = kind === "alarm" ? text(body.subject) : "";
  // A gateway with several junctions says of which one: `tisserands: phase 4`.
  const [, loop = "", said = ""] = /^(?:([a-z0-9][a-z0-9-]*): )?(.*)$/s.exec(text(body.subject)) ?? [];
  const about = title || subject(said || text(body.policy) || text(body.device), t);
  const what = point ? "" : text(body.what) || text(body.state) || text(body.code);
  return {
    sort: t.events.kinds[text(body.source)] ?? t.events.kinds[kind] ?? kind,
    line: [about, t.words[what] ?? what].filter((part) => part !== "").join(" · "),
    place: title ? (point.split("/")[0] ?? "") : loop,
    ...why(told(text(body.reason) || text(body.text), point, title), t),
  };
}

/** What the gateway calls an alarm, in the page's language; nothing where it gives no title. */
function titled(title: unknown, t: Dictionary): string {
  return typeof title === "object" && title !== null ? text((title as Record<string, unknown>)[t.language]) : "";
}

/** An alarm's reason without the point that the line names already; a title says by itself which state it stands for. */
function told(said: string, point: string, title: string): string {
  const rest = point && said.startsWith(`${point} `) ? said.slice(point.length + 1) : said;
  return title && rest.startsWith("is ") ? "" : rest;
}

/** A reason in the page's language where its French is known, else as the gateway put it. */
export function why(said: string, t: Dictionary): Pick<Told, "reason" | "lang"> {
  const known = t.language === "fr" ? french(said) : null;
  return known === null ? { reason: said, lang: "en" } : { reason: known, lang: "fr" };
}

/** A line of the log: one event, or the same thing told by several gateways at one time. */
export interface Entry extends Told {
  seq: number;
  utc: number;
  where: string[];
}

const TOGETHER_S = 2;

/** Events, newest first, as lines: what several gateways did together is one line. name: what a place is called. */
export function entries(events: readonly VigieEvent[], t: Dictionary, name = (_gateway: string, place: string) => place): Entry[] {
  const lines: Entry[] = [];
  for (const event of events) {
    const said = tell(event, t);
    const where = [event.gateway, said.place && name(event.gateway, said.place)].filter((part) => part !== "").join("\u00a0/\u00a0");
    const last = lines.at(-1);
    const same = last && last.utc - event.utc <= TOGETHER_S && (["sort", "line", "reason"] as const).every((key) => last[key] === said[key]);
    if (!same) lines.push({ ...said, seq: event.seq, utc: event.utc, where: [where] });
    else if (!last.where.includes(where)) last.where.push(where);
  }
  return lines;
}

/** Ordinary decisions of controllers come by the second; what a person should notice does not. */
export function notable({ kind, body }: VigieEvent): boolean {
  return kind !== "decision" || !/^(signal|water|lighting)\./.test(text(body.source)) || text(body.source).endsWith(".guard");
}

/** `pump 1` in the page's language; a point's full name stays as it is. */
export function subject(said: string, t: Dictionary): string {
  if (t.subjects[said]) return t.subjects[said];
  const [, first = "", rest = ""] = /^(\S+)(.*)$/.exec(said) ?? [];
  return (t.subjects[first] ?? first) + rest;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}
