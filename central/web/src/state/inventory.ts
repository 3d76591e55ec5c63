// The inventory, sorted for those who draw it: what belongs to which gateway and device.
import type { Feature, Inventory, Kind, Position } from "../api/types.ts";

export interface Site {
  feature: Feature;
  /** Signals of a junction, lamps of a cabinet. */
  parts: Feature[];
}

const LEADERS: ReadonlySet<Kind> = new Set<Kind>(["junction", "pump-station", "basin", "cabinet"]);

/** Devices worth a row of their own, with their parts, in the inventory's order. */
export function sites(inventory: Inventory): Site[] {
  const found = inventory.features
    .filter((feature) => LEADERS.has(feature.properties.kind))
    .map((feature): Site => ({ feature, parts: [] }));
  const byOwner = new Map(found.map((site) => [owner(site.feature), site]));
  const told = new Set<string>();
  for (const feature of inventory.features) {
    if (feature.properties.kind !== "signal" && feature.properties.kind !== "lamp") continue;
    const movement = feature.properties.kind === "signal" ? movementOf(feature) : feature.id;
    if (told.has(movement)) continue;
    told.add(movement);
    byOwner.get(owner(feature))?.parts.push(feature);
  }
  return found;
}

/** Heads over several lanes of one approach that follow one phase say the same: one of them tells it. */
function movementOf(feature: Feature): string {
  const { phase, pedestrian, bearing, points } = feature.properties;
  if (phase === undefined || bearing === undefined) return `${owner(feature)} ${points?.lamp ?? feature.id}`;
  return `${owner(feature)} ${pedestrian ?? false} ${phase} ${Math.round(bearing / 20) % 18}`;
}

function owner(feature: Feature): string {
  return `${feature.properties.gateway ?? ""} ${feature.properties.device ?? ""}`;
}

/** West, south, east, north of everything, in degrees. */
export function bounds(inventory: Inventory): [number, number, number, number] {
  let [west, south, east, north] = [180, 90, -180, -90];
  const take = ([lon, lat]: Position) => {
    west = Math.min(west, lon);
    east = Math.max(east, lon);
    south = Math.min(south, lat);
    north = Math.max(north, lat);
  };
  for (const { geometry } of inventory.features) {
    if (geometry.type === "Point") take(geometry.coordinates);
    else geometry.coordinates.forEach(take);
  }
  return [west, south, east, north];
}

/** Where to look for a feature: its point, or the middle of its line. */
export function centre(feature: Feature): Position {
  const { geometry } = feature;
  if (geometry.type === "Point") return geometry.coordinates;
  return geometry.coordinates[Math.floor(geometry.coordinates.length / 2)] ?? [0, 0];
}

/** Pumps of a station by number, as its roles name them: `pump.1`, `pump.2`, ... */
export function pumps(feature: Feature): { number: string; point: string }[] {
  return Object.entries(feature.properties.points ?? {})
    .map(([role, point]) => ({ number: /^pump\.(\d+)$/.exec(role)?.[1] ?? "", point }))
    .filter((pump) => pump.number !== "")
    .sort((a, b) => Number(a.number) - Number(b.number));
}

/** Everything of one kind. */
export function ofKind(inventory: Inventory, kind: Kind): Feature[] {
  return inventory.features.filter((feature) => feature.properties.kind === kind);
}

/** What people call a device; its own name where the inventory has none for it. */
export function deviceName(inventory: Inventory | null, gateway: string, device: string, language: "fr" | "en"): string {
  const site = inventory?.features.find(
    ({ properties }) => properties.gateway === gateway && properties.device === device && LEADERS.has(properties.kind),
  );
  return site?.properties.name[language] ?? device;
}
