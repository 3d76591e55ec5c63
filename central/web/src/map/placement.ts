// Where heads stand on a junction's disc: in pixels from its middle, so that they stay legible at every scale.
import type { Feature } from "../api/types.ts";

export const DISC_RADIUS = 42;
const VEHICLE_REACH = 25;
const SIDE_STEP = 17;
const WALK_REACH = 36;

/**
 * Offsets in pixels (east, south) of each head from the junction's middle. A vehicle head stands on its approach's
 * side, several of one approach side by side; pedestrian heads stand towards the disc's rim, 45 degrees on from their
 * crossing's direction, where the corners of the street are.
 */
export function headOffsets(heads: readonly Feature[]): Map<string, [number, number]> {
  const offsets = new Map<string, [number, number]>();
  const beside = new Map<string, number>();
  const together = new Map<string, number>();
  for (const head of heads) together.set(sideOf(head), (together.get(sideOf(head)) ?? 0) + 1);
  for (const head of heads) {
    const { id, properties } = head;
    const bearing = properties.bearing ?? 0;
    const walking = properties.pedestrian ?? false;
    const side = sideOf(head);
    const index = beside.get(side) ?? 0;
    beside.set(side, index + 1);
    if (walking) {
      const angle = radians(bearing + 45 + 28 * index);
      offsets.set(id, [Math.sin(angle) * WALK_REACH, -Math.cos(angle) * WALK_REACH]);
    } else {
      const angle = radians(bearing);
      const [forward, right] = [-VEHICLE_REACH, (index - ((together.get(side) ?? 1) - 1) / 2) * SIDE_STEP];
      offsets.set(id, [
        Math.sin(angle) * forward + Math.cos(angle) * right,
        -Math.cos(angle) * forward + Math.sin(angle) * right,
      ]);
    }
  }
  return offsets;
}

/** The approach (or crossing) a head belongs to, to the nearest ten degrees. */
function sideOf({ properties }: Feature): string {
  const bearing = (((properties.bearing ?? 0) % 360) + 360) % 360;
  return `${properties.pedestrian ?? false} ${Math.round(bearing / 10) % 36}`;
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180;
}
