// Street names: written at the middle of each stretch, along it, and never upside down.
import type { Inventory, Position } from "../api/types.ts";

/**
 * One point per named stretch, with the angle of its text and a key that lets long stretches go first. MapLibre's own
 * placement along lines leaves a name out wherever it does not fit at the next smaller scale.
 */
export function streetNames(inventory: Inventory): GeoJSON.Feature[] {
  return inventory.features.flatMap(({ geometry, properties }): GeoJSON.Feature[] => {
    const named = (properties.kind === "road" || properties.kind === "lane") && properties.name.fr !== "" && !properties.walk;
    if (!named || geometry.type !== "LineString") return [];
    const { at, angle, length } = middle(geometry.coordinates);
    return [
      {
        type: "Feature",
        geometry: { type: "Point", coordinates: at },
        properties: { name_fr: properties.name.fr, name_en: properties.name.en, angle, order: -length },
      },
    ];
  });
}

/** The middle of a line's longest piece, the text's angle there (degrees clockwise), and the line's length (degrees). */
export function middle(line: readonly Position[]): { at: Position; angle: number; length: number } {
  let [longest, length] = [-1, 0];
  let [at, angle]: [Position, number] = [line[0] ?? [0, 0], 0];
  for (let index = 1; index < line.length; index++) {
    const [[x0, y0], [x1, y1]] = [line[index - 1] ?? [0, 0], line[index] ?? [0, 0]];
    const narrowing = Math.cos((y0 * Math.PI) / 180);
    const piece = Math.hypot((x1 - x0) * narrowing, y1 - y0);
    length += piece;
    if (piece <= longest) continue;
    longest = piece;
    at = [(x0 + x1) / 2, (y0 + y1) / 2];
    angle = (-Math.atan2(y1 - y0, (x1 - x0) * narrowing) * 180) / Math.PI;
  }
  if (angle > 90) angle -= 180;
  if (angle <= -90) angle += 180;
  return { at, angle, length };
}
