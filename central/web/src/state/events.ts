// What an event says in one line. Gateways send words of a fixed vocabulary: who, about what, what happened, why.
import type { VigieEvent } from "../api/types.ts";

const PLACED = ["subject", "point", "device", "policy", "key"] as const;
const SPOKEN = ["what", "state", "code", "text", "reason"] as const;

/** The line of an event: about what, what happened, why; as far as the event says it. */
export function describe({ body }: VigieEvent): string {
  const found = [PLACED.map((key) => word(body[key])).find((text) => text !== "") ?? "", ...SPOKEN.map((key) => word(body[key]))];
  return [...new Set(found.filter((text) => text !== ""))].slice(0, 3).join(" · ");
}

/** Ordinary decisions come by the second; what a person should notice does not. */
export function notable({ kind }: VigieEvent): boolean {
  return kind !== "decision";
}

function word(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}
