// The map's own style: nothing is fetched, labels are drawn with the machine's fonts.
import type { ExpressionSpecification, Map as MapLibreMap, StyleSpecification } from "maplibre-gl";

import type { Inventory, Kind } from "../api/types.ts";
import type { Language } from "../i18n/language.svelte.ts";
import type { Palette } from "./palette.ts";
import { DISC_RADIUS } from "./placement.ts";
import { streetNames } from "./streets.ts";

type Features = GeoJSON.Feature[];

/** Pixels per metre at zoom 20 near the 45th parallel. */
const PIXELS_PER_METRE_AT_20 = 19;
/** Lanes of true shape are widened a little, into each other, to be seen from afar. */
const LANE_WIDENED = 1.35;
/** Where only a street's lanes are counted: a little wider than true, to be seen. */
const DRAWN_LANE_M = 5.5;
/** The paved middle of a junction, where no lane is drawn. */
const JUNCTION_FLOOR_M = 15;

export function mapStyle(inventory: Inventory, palette: Palette, language: Language): StyleSpecification {
  // Flat properties: nested ones do not survive the way through MapLibre's tiles; neither do string ids.
  const of = (...kinds: Kind[]): Features =>
    inventory.features
      .filter(({ properties }) => kinds.includes(properties.kind))
      .map(({ id, geometry, properties }) => ({
        type: "Feature",
        geometry,
        properties: {
          id,
          name_fr: properties.name.fr,
          name_en: properties.name.en,
          width: properties.width_m ? properties.width_m * LANE_WIDENED : Math.max(2, properties.lanes ?? 2) * DRAWN_LANE_M,
          surface: properties.walk ? "walk" : (properties.class ?? "street"),
        },
      }));
  const width = (extra: number) => [
    "interpolate", ["exponential", 2], ["zoom"],
    10, ["+", ["*", ["get", "width"], PIXELS_PER_METRE_AT_20 / 1024], extra],
    20, ["+", ["*", ["get", "width"], PIXELS_PER_METRE_AT_20], extra * 4],
  ];
  const line = { "line-cap": "butt", "line-join": "round" };
  return {
    version: 8,
    sources: {
      roads: { type: "geojson", data: collection(of("road", "lane")) },
      crossings: { type: "geojson", data: collection(of("crossing")) },
      pipes: { type: "geojson", data: collection(of("pipe")) },
      names: { type: "geojson", data: collection(streetNames(inventory)) },
      junctions: { type: "geojson", data: collection(of("junction")) },
      heads: { type: "geojson", data: collection([]) },
    },
    layers: [
      { id: "land", type: "background", paint: { "background-color": palette.land } },
      { id: "casing", type: "line", source: "roads", layout: line, paint: { "line-color": palette.casing, "line-width": width(2) } },
      { id: "road", type: "line", source: "roads", layout: line, paint: { "line-color": roadColour(palette), "line-width": width(0.5) } },
      {
        id: "floor", type: "circle", source: "junctions",
        paint: {
          "circle-color": palette.arterial,
          "circle-radius": ["interpolate", ["exponential", 2], ["zoom"], 10, JUNCTION_FLOOR_M * PIXELS_PER_METRE_AT_20 / 1024, 20, JUNCTION_FLOOR_M * PIXELS_PER_METRE_AT_20],
        },
      },
      {
        id: "crossing", type: "line", source: "crossings", minzoom: 16,
        paint: { "line-color": palette.casing, "line-width": width(0), "line-dasharray": [0.15, 0.15] },
      },
      {
        id: "pipe", type: "line", source: "pipes", layout: line,
        paint: { "line-color": palette.pipe, "line-width": 3, "line-dasharray": [2, 1.6] },
      },
      {
        id: "road-name", type: "symbol", source: "names", minzoom: 15.3,
        layout: {
          "text-field": ["get", `name_${language}`], "text-size": 11.5, "text-letter-spacing": 0.04, "text-font": ["system-ui"],
          "text-rotate": ["get", "angle"], "text-rotation-alignment": "map", "text-max-width": 40,
          "symbol-sort-key": ["get", "order"], "text-padding": 24,
        },
        paint: { "text-color": palette.label, "text-opacity": 0.85, "text-halo-color": palette.road, "text-halo-width": 1.4 },
      },
      {
        id: "disc", type: "circle", source: "junctions",
        paint: {
          "circle-radius": ["interpolate", ["linear"], ["zoom"], ...scaled(DISC_RADIUS)], "circle-color": palette.disc, "circle-opacity": 0.9,
          "circle-stroke-color": palette.discLine, "circle-stroke-width": 1.2,
        },
      },
      {
        id: "heads", type: "symbol", source: "heads",
        layout: {
          "icon-image": ["get", "image"], "icon-offset": ["get", "offset"],
          "icon-size": ["interpolate", ["linear"], ["zoom"], ...scaled(1)],
          "icon-allow-overlap": true, "icon-ignore-placement": true,
        },
      },
      {
        id: "junction-name", type: "symbol", source: "junctions",
        layout: {
          "text-field": ["get", `name_${language}`], "text-size": 12.5, "text-font": ["system-ui"],
          "text-anchor": "top", "text-offset": ["interpolate", ["linear"], ["zoom"], 12, ["literal", [0, 0.7]], 14.5, ["literal", [0, 3.5]]], "text-max-width": 14, "text-allow-overlap": true,
        },
        paint: { "text-color": palette.label, "text-halo-color": palette.halo, "text-halo-width": 2 },
      },
    ],
  } as unknown as StyleSpecification;
}

/** Changes the colours of a standing map. */
export function recolour(map: MapLibreMap, palette: Palette): void {
  map.setPaintProperty("land", "background-color", palette.land);
  map.setPaintProperty("casing", "line-color", palette.casing);
  map.setPaintProperty("road", "line-color", roadColour(palette));
  map.setPaintProperty("floor", "circle-color", palette.arterial);
  map.setPaintProperty("crossing", "line-color", palette.casing);
  map.setPaintProperty("pipe", "line-color", palette.pipe);
  map.setPaintProperty("disc", "circle-color", palette.disc);
  map.setPaintProperty("disc", "circle-stroke-color", palette.discLine);
  for (const [layer, halo] of [["road-name", palette.road], ["junction-name", palette.halo]] as const) {
    map.setPaintProperty(layer, "text-color", palette.label);
    map.setPaintProperty(layer, "text-halo-color", halo);
  }
}

/** Changes the language of the labels. */
export function relabel(map: MapLibreMap, language: Language): void {
  const text: ExpressionSpecification = ["get", `name_${language}`];
  map.setLayoutProperty("road-name", "text-field", text);
  map.setLayoutProperty("junction-name", "text-field", text);
}

/** Marks shrink as one zooms out, so that neighbours do not cover each other. */
function scaled(size: number): number[] {
  return [11.5, size * 0.15, 13, size * 0.45, 14, size * 0.75, 14.5, size];
}

export function collection(features: Features): GeoJSON.FeatureCollection {
  return { type: "FeatureCollection", features };
}

function roadColour(palette: Palette): ExpressionSpecification {
  return ["match", ["get", "surface"], "arterial", palette.arterial, "walk", palette.walk, palette.road];
}
