// The page's one store: what the live channel and the API have told so far.
import { inventory as fetchInventory } from "../api/client.ts";
import { type Link, openLive } from "../api/live.ts";
import type { Alarm, GatewayState, Inventory, LiveMessage, Run, VigieEvent } from "../api/types.ts";
import { notable } from "./events.ts";
import { TrendData } from "./trends.svelte.ts";
import { Values } from "./values.ts";

const EVENTS_KEPT = 200;
const DECISIONS_KEPT = 60;
// Tables follow at a pace that can be read; the map follows every message.
const TABLE_MS = 250;
const ASK_MS = 3000;

export class Fleet {
  readonly values = new Values();
  readonly trends = new TrendData();
  inventory = $state.raw<Inventory | null>(null);
  inventoryAsked = $state(false);
  gateways = $state.raw<GatewayState[]>([]);
  alarms = $state.raw<Alarm[]>([]);
  /** What a person should notice, newest first; ordinary decisions stand apart, they would push it out. */
  events = $state.raw<VigieEvent[]>([]);
  decisions = $state.raw<VigieEvent[]>([]);
  run = $state.raw<Run | null>(null);
  link = $state<Link>("connecting");
  /** Page time (ms) of the last message, 0 before the first. */
  heard = $state(0);
  /** Page time (ms), ticking once a second, for ages. */
  now = $state(Date.now());
  /** Grows whenever values changed, at most four times a second: read it to follow `values`. */
  version = $state(0);
  /** Newest simulated or real instant heard of, UTC seconds; 0 before. */
  utc = $state(0);
  selected = $state<string | null>(null);

  #dirty = false;
  #measured: number[] = [];
  updates = 0;

  start(): () => void {
    const stopLive = openLive({
      message: (message) => this.#take(message),
      link: (state) => {
        this.link = state;
        if (state === "open") void this.#learn();
      },
    });
    const second = window.setInterval(() => (this.now = Date.now()), 1000);
    // A scenario may bring its inventory after the page was opened.
    const ask = window.setInterval(() => void this.#learn(), ASK_MS);
    const table = window.setInterval(() => this.#refresh(), TABLE_MS);
    return () => {
      stopLive();
      window.clearInterval(second);
      window.clearInterval(ask);
      window.clearInterval(table);
    };
  }

  /** Milliseconds from a message's arrival to the next painted frame: median and worst of the latest 200. */
  get lag(): { p50: number; max: number } {
    const sorted = [...this.#measured].sort((a, b) => a - b);
    return { p50: sorted[Math.floor(sorted.length / 2)] ?? 0, max: sorted.at(-1) ?? 0 };
  }

  get timeZone(): string | undefined {
    return this.inventory?.time_zone;
  }

  gateway(id: string | undefined): GatewayState | undefined {
    return this.gateways.find((gateway) => gateway.id === id);
  }

  /** True when what is shown of this gateway may no longer be so. */
  stale(id: string | undefined): boolean {
    return this.link === "lost" || (id !== undefined && (this.gateway(id)?.stale ?? true));
  }

  async #learn(): Promise<void> {
    if (this.inventory || this.link !== "open") return;
    this.inventory = await fetchInventory();
    this.inventoryAsked = true;
    if (!this.inventory) return;
    this.trends.bind(this.inventory);
    // Also when nothing changes any more (a finished run): the trends' past is asked for at the next sample.
    this.#dirty = true;
  }

  #refresh(): void {
    if (!this.#dirty) return;
    this.#dirty = false;
    this.version += 1;
    this.trends.sample(this.values, this.utc, this.run);
  }

  #take(message: LiveMessage): void {
    const arrived = performance.now();
    this.heard = Date.now();
    this.updates += 1;
    switch (message.type) {
      case "snapshot":
        this.gateways = message.gateways;
        this.alarms = message.alarms;
        this.events = message.events.filter(notable);
        this.decisions = message.events.filter((event) => !notable(event));
        this.#progress(message.run);
        this.#values(message.values);
        break;
      case "values":
        this.#values(message.values);
        break;
      case "gateway": {
        const others = this.gateways.filter((gateway) => gateway.id !== message.gateway.id);
        this.gateways = [...others, message.gateway].sort((a, b) => a.id.localeCompare(b.id));
        break;
      }
      case "event":
        if (notable(message.event)) this.events = [message.event, ...this.events].slice(0, EVENTS_KEPT);
        else this.decisions = [message.event, ...this.decisions].slice(0, DECISIONS_KEPT);
        break;
      case "alarms":
        this.alarms = message.alarms;
        break;
      case "run":
        this.#progress(message.run);
        break;
    }
    requestAnimationFrame(() => {
      this.#measured.push(performance.now() - arrived);
      if (this.#measured.length > 200) this.#measured.shift();
    });
  }

  #values(rows: Extract<LiveMessage, { type: "values" }>["values"]): void {
    this.values.apply(rows);
    // Without a simulator the newest sample tells the district's time; a gateway's own metrics carry its machine's.
    if (!this.run) for (const [, point, , , utc] of rows) if (utc > this.utc && !point.startsWith("$")) this.utc = utc;
    this.#dirty = true;
  }

  #progress(run: Run | null): void {
    this.run = run;
    if (run?.utc !== undefined) this.utc = run.utc;
    this.#dirty = true;
  }
}

export const fleet = new Fleet();
