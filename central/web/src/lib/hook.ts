// What tests (and a curious operator's console) may ask of the page, so that nobody has to sleep and hope.
import type { Point } from "../state/values.ts";
import type { Fleet } from "../state/fleet.svelte.ts";

export interface Hook {
  /** True once the map is drawn and a value has been shown. */
  readonly ready: boolean;
  /** Messages taken from the live channel. */
  readonly updates: number;
  /** Milliseconds from a message to the next painted frame. */
  readonly lag: { p50: number; max: number };
  readonly link: string;
  readonly utc: number;
  point(gateway: string, point: string): Point | undefined;
  /** Level (0 to 255) and matter (0 well, 1 fault, 2 stale) of a lamp, as the map draws it. */
  lamp(index: number): [number, number];
}

declare global {
  interface Window {
    __vigie: Hook;
  }
}

export function installHook(fleet: Fleet, map: () => { ready: boolean; lamps: (index: number) => [number, number] }): void {
  window.__vigie = {
    get ready() {
      return map().ready && fleet.values.size > 0;
    },
    get updates() {
      return fleet.updates;
    },
    get lag() {
      return fleet.lag;
    },
    get link() {
      return fleet.link;
    },
    get utc() {
      return fleet.utc;
    },
    point: (gateway, point) => fleet.values.get(gateway, point),
    lamp: (index) => map().lamps(index),
  };
}
