// Last values by point, and who wants to hear when they change. Plain TypeScript: it is read sixty times a second.
import type { Quality, Value, ValueRow } from "../api/types.ts";

export interface Point {
  value: Value;
  quality: Quality;
  utc: number;
}

export type Listener = (changed: ReadonlySet<string>) => void;

/** The key of a point: names of gateways hold no blanks. */
export function pointKey(gateway: string, point: string): string {
  return `${gateway} ${point}`;
}

/** Last values, as the coordinator told them last: it decides what is newest, also when history comes in late. */
export class Values {
  readonly #points = new Map<string, Point>();
  readonly #listeners = new Set<Listener>();

  get size(): number {
    return this.#points.size;
  }

  get(gateway: string | undefined, point: string | undefined): Point | undefined {
    return gateway === undefined || point === undefined ? undefined : this.#points.get(pointKey(gateway, point));
  }

  apply(rows: readonly ValueRow[]): void {
    const changed = new Set<string>();
    for (const [gateway, point, value, quality, utc] of rows) {
      const key = pointKey(gateway, point);
      this.#points.set(key, { value, quality, utc });
      changed.add(key);
    }
    if (changed.size > 0) for (const listener of this.#listeners) listener(changed);
  }

  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** The number in a point, or null when there is none worth drawing. */
export function numeric(point: Point | undefined): number | null {
  if (!point || point.quality === 0) return null;
  if (typeof point.value === "boolean") return point.value ? 1 : 0;
  return typeof point.value === "number" && Number.isFinite(point.value) ? point.value : null;
}
