// What an event says in one line. Gateways send codes and figures; a text in both languages is taken where there is one.
import type { VigieEvent } from "../api/types.ts";
import type { Language } from "../i18n/language.svelte.ts";

const SPOKEN = ["text", "message", "reason", "state", "code"] as const;
const PLACED = ["point", "device", "output", "loop", "key", "policy", "id", "action"] as const;

/** The line of an event: where, then what, in the page's language as far as the event knows it. */
export function describe(event: VigieEvent, language: Language): string {
  const where = PLACED.map((key) => word(event.body[key], language)).find((text) => text !== "") ?? "";
  const what = [...new Set(SPOKEN.map((key) => word(event.body[key], language)).filter((text) => text !== ""))];
  return [where, ...what.slice(0, 2)].filter((text) => text !== "").join(" · ");
}

function word(value: unknown, language: Language): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value === "object" && value !== null) {
    const spoken = (value as Record<string, unknown>)[language];
    if (typeof spoken === "string") return spoken;
  }
  return "";
}
