// What a trend draws: times and values in order, thinned so that hours of a fast simulation stay a few thousand points.

/** A growing pair of columns with at most `limit` rows, at least `step` seconds apart. */
export class Series {
  times: number[] = [];
  values: (number | null)[] = [];
  readonly limit: number;
  #step: number;

  constructor(limit = 1200, step = 1) {
    this.limit = limit;
    this.#step = step;
  }

  get last(): number | null {
    return this.values.at(-1) ?? null;
  }

  /** Adds a value at an instant; a second one within the step replaces the first, an older one is dropped. */
  push(time: number, value: number | null): void {
    const newest = this.times.at(-1);
    if (newest !== undefined && time < newest) return;
    if (newest !== undefined && this.times.length > 1 && time - (this.times.at(-2) ?? 0) < this.#step) {
      this.times[this.times.length - 1] = time;
      this.values[this.values.length - 1] = value;
      return;
    }
    this.times.push(time);
    this.values.push(value);
    if (this.times.length > this.limit) this.#thin();
  }

  /** Puts the past before what has been gathered live. */
  prepend(times: readonly number[], values: readonly (number | null)[]): void {
    const first = this.times[0] ?? Infinity;
    const count = times.filter((time) => time < first).length;
    this.times = [...times.slice(0, count), ...this.times];
    this.values = [...values.slice(0, count), ...this.values];
    while (this.times.length > this.limit) this.#thin();
  }

  #thin(): void {
    this.#step *= 2;
    const last = this.times.length - 1;
    const keep = (_: unknown, index: number) => index % 2 === 0 || index === last;
    this.times = this.times.filter(keep);
    this.values = this.values.filter(keep);
  }
}

/**
 * Sums several columns of (time, value), each holding its value until its next one: sites publish when something
 * changes, not together. Starts where the last of them has spoken: a sum over half of them would look like a saving.
 */
export function heldSum(columns: readonly (readonly (readonly [number, number])[])[]): [number[], number[]] {
  const steps = columns
    .flatMap((column, index) => column.map(([time, value]) => ({ time, value, index })))
    .sort((a, b) => a.time - b.time);
  const held: (number | undefined)[] = columns.map(() => undefined);
  const times: number[] = [];
  const sums: number[] = [];
  for (const { time, value, index } of steps) {
    held[index] = value;
    if (held.includes(undefined)) continue;
    const total = held.reduce<number>((sum, one) => sum + (one ?? 0), 0);
    if (times.at(-1) === time) sums[sums.length - 1] = total;
    else {
      times.push(time);
      sums.push(total);
    }
  }
  return [times, sums];
}
