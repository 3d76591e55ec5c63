// What the coordinator says, as types: the mirror of vigie_central/api/models.py and docs/reference/inventory.md.
// Times are UTC seconds since 1970. Quality is 2 good, 1 uncertain, 0 bad.

export type Value = boolean | number | string | null;
export type Quality = 0 | 1 | 2;
/** gateway, "device/point", value, quality, utc */
export type ValueRow = [string, string, Value, Quality, number];

export interface DeviceState {
  name: string;
  online: boolean;
  since: number;
  points: number;
}

export interface PolicyRef {
  id: string;
  version: number;
  kind: string;
}

export interface Desired {
  generation: number;
  hash: string;
  policies: PolicyRef[];
  published: boolean;
}

export interface Reported {
  state: string;
  generation: number | null;
  hash: string | null;
  effective_hash: string | null;
  code: string | null;
  reason: string | null;
  utc: number;
  raw: Record<string, unknown>;
}

export interface GatewayState {
  id: string;
  group: string;
  district: string | null;
  enrolled: boolean;
  online: boolean;
  stale: boolean;
  since: number;
  devices: DeviceState[];
  desired: Desired | null;
  reported: Reported | null;
  in_step: boolean | null;
}

export interface VigieEvent {
  gateway: string;
  utc: number;
  kind: string;
  body: Record<string, unknown>;
  seq: number;
}

export interface Alarm {
  gateway: string;
  key: string;
  severity: string;
  since: number;
  text: string;
  body: Record<string, unknown>;
}

/** The simulator's progress; without a simulator there is none. */
export interface Run {
  utc?: number;
  t?: number;
  duration?: number;
  speed?: number;
  state?: string;
  scenario?: string;
  seed?: number;
  vehicles?: number;
  queue?: number;
  delay_s?: number;
  basin_m?: number;
  overflow_m3?: number;
  lamp_kw?: number;
  trips?: number;
}

export type LiveMessage =
  | {
      type: "snapshot";
      gateways: GatewayState[];
      values: ValueRow[];
      alarms: Alarm[];
      events: VigieEvent[];
      run: Run | null;
    }
  | { type: "values"; values: ValueRow[] }
  | { type: "gateway"; gateway: GatewayState }
  | { type: "event"; event: VigieEvent }
  | { type: "alarms"; alarms: Alarm[] }
  | { type: "run"; run: Run };

/** utc of the bucket's start, min, mean, max, last, count */
export type Bucket = [number, number | null, number | null, number | null, number | null, number];

export interface Names {
  fr: string;
  en: string;
}

export type Kind = "road" | "lane" | "crossing" | "junction" | "signal" | "pump-station" | "basin" | "pipe" | "lamp" | "cabinet";

export interface Properties {
  kind: Kind;
  name: Names;
  gateway?: string;
  device?: string;
  points?: Record<string, string>;
  units?: Record<string, string>;
  range?: [number, number];
  bearing?: number;
  pedestrian?: boolean;
  phase?: number;
  lanes?: number;
  width_m?: number;
  walk?: boolean;
  class?: string;
}

export type Position = [number, number];

export type Feature = {
  type: "Feature";
  id: string;
  properties: Properties;
  geometry: { type: "Point"; coordinates: Position } | { type: "LineString"; coordinates: Position[] };
};

export interface Inventory {
  type: "FeatureCollection";
  name?: Names;
  time_zone?: string;
  features: Feature[];
}
