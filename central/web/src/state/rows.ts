// The table's rows: the same state as the map, in words. Pure: inventory, values and dictionary in, text out.
import type { Feature, GatewayState, Inventory, Quality } from "../api/types.ts";
import type { Dictionary } from "../i18n/fr.ts";
import type { Language } from "../i18n/language.svelte.ts";
import { quantity } from "../lib/format.ts";
import { pumps, type Site, sites } from "./inventory.ts";
import { numeric, type Values } from "./values.ts";

export interface Row {
  id: string;
  name: string;
  kind: string;
  state: string;
  /** Aspect of a signal head, for its mark beside the words. */
  aspect?: { state: number; pedestrian: boolean };
  /** How many vehicle heads of a junction show what. */
  aspects?: { state: number; count: number }[];
  /** Worst quality of what the state was made from; null when nothing was ever read. */
  quality: Quality | null;
  stale: boolean;
  alert: boolean;
  gateway: string;
  parts: Row[];
}

export interface Telling {
  values: Values;
  stale: (gateway: string | undefined) => boolean;
  t: Dictionary;
  language: Language;
  locale: string;
}

/** One row per junction, station, basin and cabinet, with its heads or lamps below it; then what no inventory names. */
export function rows(inventory: Inventory | null, gateways: readonly GatewayState[], telling: Telling): Row[] {
  const found = inventory ? sites(inventory).map((site) => siteRow(site, telling)) : [];
  const named = new Set(
    (inventory?.features ?? []).flatMap(({ properties }) => [
      `${properties.gateway} ${properties.device}`,
      ...Object.values(properties.points ?? {}).map((point) => `${properties.gateway} ${point.split("/")[0]}`),
    ]),
  );
  for (const gateway of gateways) {
    for (const device of gateway.devices) {
      if (named.has(`${gateway.id} ${device.name}`)) continue;
      found.push({
        id: `${gateway.id} ${device.name}`,
        name: device.name,
        kind: telling.t.kinds.device,
        state: `${device.online ? telling.t.devices.online : telling.t.devices.offline}, ${telling.t.devices.points(device.points)}`,
        quality: device.online ? 2 : 0,
        stale: telling.stale(gateway.id),
        alert: !device.online,
        gateway: gateway.id,
        parts: [],
      });
    }
  }
  return found;
}

function siteRow(site: Site, telling: Telling): Row {
  const { feature, parts } = site;
  const row = base(feature, telling);
  row.parts = parts.map((part) => (part.properties.kind === "signal" ? headRow(part, telling) : lampRow(part, telling)));
  row.alert = row.parts.some((part) => part.alert);
  const said: string[] = [];
  switch (feature.properties.kind) {
    case "junction":
      row.aspects = heads(row.parts);
      said.push(...queued(feature, telling));
      break;
    case "cabinet": {
      const { values, t } = telling;
      const lit = parts.filter(
        ({ properties }) => (numeric(values.get(properties.gateway, properties.points?.level)) ?? 0) > 0,
      ).length;
      if (parts.length > 0) said.push(t.devices.lampsLit(lit, parts.length));
      said.push(...amount(feature, "power", "", telling));
      const faults = row.parts.filter((part) => part.alert).length;
      if (faults > 0) said.push(t.devices.faults(faults));
      break;
    }
    default: {
      const { values, t } = telling;
      said.push(...amount(feature, "level", t.devices.level, telling));
      const running = pumps(feature);
      if (running.length > 0) {
        const on = running.filter(({ point }) => numeric(values.get(feature.properties.gateway, point)) === 1);
        said.push(t.devices.pumpsOn(on.length, running.length));
      }
      if ((numeric(values.get(feature.properties.gateway, feature.properties.points?.overflow)) ?? 0) > 0) {
        said.push(t.devices.overflowing);
        row.alert = true;
      }
    }
  }
  row.state = said.join(", ") || (row.aspects?.length ? "" : telling.t.page.noValue);
  row.quality = worst(feature, row.parts, telling);
  return row;
}

function headRow(feature: Feature, telling: Telling): Row {
  const row = base(feature, telling);
  const { properties } = feature;
  const state = numeric(telling.values.get(properties.gateway, properties.points?.lamp));
  const words = properties.pedestrian ? telling.t.walk : telling.t.lamp;
  row.state = state === null ? telling.t.page.noValue : (words[state] ?? String(state));
  if (state !== null) row.aspect = { state, pedestrian: properties.pedestrian ?? false };
  row.quality = worst(feature, [], telling);
  return row;
}

function lampRow(feature: Feature, telling: Telling): Row {
  const row = base(feature, telling);
  const { values, t, locale } = telling;
  const { properties } = feature;
  const level = numeric(values.get(properties.gateway, properties.points?.level));
  row.alert = (numeric(values.get(properties.gateway, properties.points?.fault)) ?? 0) > 0;
  row.state = level === null ? t.page.noValue : quantity(locale, Math.round(level), "%");
  if (row.alert) row.state = `${row.state}, ${t.devices.faultWord}`;
  row.quality = worst(feature, [], telling);
  return row;
}

function base(feature: Feature, telling: Telling): Row {
  const { properties } = feature;
  return {
    id: feature.id,
    name: properties.name[telling.language],
    kind: telling.t.kinds[properties.kind],
    state: "",
    quality: null,
    stale: telling.stale(properties.gateway),
    alert: false,
    gateway: properties.gateway ?? "",
    parts: [],
  };
}

// Vehicle heads only, most useful colour first.
function heads(parts: readonly Row[]): { state: number; count: number }[] {
  const counts = new Map<number, number>();
  for (const { aspect } of parts) {
    if (aspect && !aspect.pedestrian) counts.set(aspect.state, (counts.get(aspect.state) ?? 0) + 1);
  }
  return [3, 2, 1, 6, 5, 4, 0]
    .filter((state) => counts.has(state))
    .map((state) => ({ state, count: counts.get(state) ?? 0 }));
}

function queued({ properties }: Feature, telling: Telling): string[] {
  const standing = numeric(telling.values.get(properties.gateway, properties.points?.queue));
  return standing === null ? [] : [telling.t.devices.queued(quantity(telling.locale, standing))];
}

function amount(feature: Feature, role: string, word: string, telling: Telling): string[] {
  const { properties } = feature;
  const value = numeric(telling.values.get(properties.gateway, properties.points?.[role]));
  if (value === null) return [];
  const unit = properties.units?.[role] ?? { level: "m", power: "kW" }[role] ?? "";
  return [`${word ? `${word} ` : ""}${quantity(telling.locale, value, unit)}`];
}

function worst(feature: Feature, parts: readonly Row[], telling: Telling): Quality | null {
  const own = Object.values(feature.properties.points ?? {}).flatMap((point) => {
    const held = telling.values.get(feature.properties.gateway, point);
    return held ? [held.quality] : [];
  });
  const all = [...own, ...parts.flatMap((part) => (part.quality === null ? [] : [part.quality]))];
  return all.length === 0 ? null : (Math.min(...all) as Quality);
}
