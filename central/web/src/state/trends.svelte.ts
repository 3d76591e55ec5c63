// The three trends: queue, basin level, lighting power. The past comes from the history, the present from the page.
import { history } from "../api/client.ts";
import type { Feature, Inventory, Run } from "../api/types.ts";
import { ofKind } from "./inventory.ts";
import { heldSum, Series } from "./series.ts";
import { numeric, type Values } from "./values.ts";

export type TrendName = "queue" | "basin" | "lamps";
const PAST_S = 3600;
const BUCKETS = 240;

interface Source {
  gateway: string;
  point: string;
  /** Brings the point's unit to the trend's: kW for power. */
  factor: number;
}

export class TrendData {
  readonly series: Record<TrendName, Series> = { queue: new Series(), basin: new Series(), lamps: new Series() };
  /** Grows whenever a series changed. */
  version = $state(0);
  /** Where the basin is full, in metres, when the inventory says it. */
  full = $state<number | null>(null);
  #sources: Record<TrendName, Source[]> = { queue: [], basin: [], lamps: [] };
  #filled = false;

  bind(inventory: Inventory): void {
    const basins = ofKind(inventory, "basin");
    this.#sources = {
      queue: ofKind(inventory, "junction").flatMap((feature) => source(feature, "queue")),
      basin: basins.slice(0, 1).flatMap((feature) => source(feature, "level")),
      lamps: ofKind(inventory, "cabinet").flatMap((feature) => source(feature, "power")),
    };
    this.full = basins[0]?.properties.range?.[1] ?? null;
    this.#filled = false;
  }

  /** Takes one sample of each trend at an instant (UTC seconds). */
  sample(values: Values, utc: number, run: Run | null): void {
    if (utc === 0) return;
    if (!this.#filled && Object.values(this.#sources).some((list) => list.length > 0)) {
      this.#filled = true;
      for (const name of ["queue", "basin", "lamps"] as const) void this.#past(name, utc);
    }
    this.#push("queue", utc, run?.queue ?? sum(values, this.#sources.queue));
    this.#push("basin", utc, sum(values, this.#sources.basin) ?? run?.basin_m ?? null);
    this.#push("lamps", utc, sum(values, this.#sources.lamps) ?? run?.lamp_kw ?? null);
    this.version += 1;
  }

  #push(name: TrendName, utc: number, value: number | null): void {
    if (value !== null) this.series[name].push(utc, value);
  }

  async #past(name: TrendName, utc: number): Promise<void> {
    const sources = this.#sources[name];
    const past = await Promise.all(
      sources.map((one) => history(one.gateway, one.point, utc - PAST_S, utc, BUCKETS).catch(() => [])),
    );
    const [times, totals] = heldSum(
      past.map((buckets, index) =>
        buckets.flatMap(([start, , , , last]): [number, number][] =>
          last === null ? [] : [[start, last * (sources[index]?.factor ?? 1)]],
        ),
      ),
    );
    this.series[name].prepend(times, totals);
    this.version += 1;
  }
}

function source(feature: Feature, role: string): Source[] {
  const { gateway, points, units } = feature.properties;
  const point = points?.[role];
  return gateway && point ? [{ gateway, point, factor: role === "power" && units?.[role] === "W" ? 0.001 : 1 }] : [];
}

function sum(values: Values, sources: Source[]): number | null {
  let total: number | null = null;
  for (const { gateway, point, factor } of sources) {
    const value = numeric(values.get(gateway, point));
    if (value === null) return null;
    total = (total ?? 0) + value * factor;
  }
  return total;
}
