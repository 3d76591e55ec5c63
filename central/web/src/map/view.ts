// The district on a map: MapLibre underneath, our own geometry, state and marks on top. Loaded after the page stands.
import "maplibre-gl/dist/maplibre-gl.css";

import { type GeoJSONSource, Map as MapLibreMap, Marker, NavigationControl, setWorkerUrl } from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url";
import { mount, unmount } from "svelte";

import type { Feature, Inventory } from "../api/types.ts";
import type { Dictionary } from "../i18n/fr.ts";
import type { Language } from "../i18n/language.svelte.ts";
import { bounds, centre, ofKind, type Site, sites } from "../state/inventory.ts";
import { numeric, pointKey, type Values } from "../state/values.ts";
import { addHeadImages, headImage } from "./heads.ts";
import { FAULT, LampLayer, OK, STALE } from "./lamps.ts";
import { DARK, LIGHT } from "./palette.ts";
import { headOffsets } from "./placement.ts";
import SiteMark from "./SiteMark.svelte";
import { collection, mapStyle, recolour, relabel } from "./style.ts";

// Without this the built page has no worker and shows an empty map, silently.
setWorkerUrl(workerUrl);

const PADDING = 62;
const PADDING_NARROW = 30;
const HEADS_EVERY_MS = 120;

export interface ViewOptions {
  container: HTMLElement;
  inventory: Inventory;
  values: Values;
  stale: (gateway: string | undefined) => boolean;
  language: Language;
  t: Dictionary;
  dark: boolean;
  select: (id: string | null) => void;
}

export class DistrictView {
  readonly map: MapLibreMap;
  readonly lamps: LampLayer;
  readonly #options: ViewOptions;
  readonly #lampFeatures: Feature[];
  readonly #lampOf = new Map<string, number[]>();
  readonly #heads: Feature[];
  readonly #headKeys = new Set<string>();
  readonly #offsets: Map<string, [number, number]>;
  readonly #marks: { marker: Marker; component: object }[] = [];
  readonly #unsubscribe: () => void;
  #headTimer: number | undefined;
  #ready = false;

  constructor(options: ViewOptions, ready: () => void) {
    this.#options = options;
    const { inventory, values, dark, t } = options;
    const palette = dark ? DARK : LIGHT;
    this.#lampFeatures = ofKind(inventory, "lamp");
    this.lamps = new LampLayer(this.#lampFeatures.map(centre), palette, dark);
    this.#lampFeatures.forEach((feature, index) => {
      for (const point of Object.values(feature.properties.points ?? {})) {
        const key = pointKey(feature.properties.gateway ?? "", point);
        this.#lampOf.set(key, [...(this.#lampOf.get(key) ?? []), index]);
      }
    });
    const junctions = sites(inventory).filter((site) => site.feature.properties.kind === "junction");
    this.#offsets = new Map(junctions.flatMap((site) => [...headOffsets(site.parts.filter(isSignal))]));
    // Heads hang on their junction's disc, not at their own stop line, where they would cover each other.
    this.#heads = junctions.flatMap((site) =>
      site.parts.filter(isSignal).map((head) => ({ ...head, geometry: site.feature.geometry })),
    );
    for (const { properties } of this.#heads) {
      this.#headKeys.add(pointKey(properties.gateway ?? "", properties.points?.lamp ?? ""));
    }

    this.map = new MapLibreMap({
      container: options.container,
      style: mapStyle(inventory, palette, options.language),
      bounds: bounds(inventory),
      fitBoundsOptions: { padding: padding(options.container) },
      attributionControl: false,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      fadeDuration: 0,
      maxZoom: 20,
      cooperativeGestures: false,
      locale: { "NavigationControl.ZoomIn": t.map.zoomIn, "NavigationControl.ZoomOut": t.map.zoomOut, "Map.Title": t.map.label },
    });
    this.map.addControl(new NavigationControl({ showCompass: false }), "top-right");
    this.map.keyboard.disableRotation();
    this.map.touchZoomRotate.disableRotation();
    this.map.on("load", () => {
      addHeadImages(this.map, t);
      this.map.addLayer(this.lamps, "road-name");
      this.#ready = true;
      this.refresh();
      ready();
    });
    this.map.on("click", "disc", (event) => options.select(String(event.features?.[0]?.properties.id ?? "") || null));
    for (const site of sites(inventory)) if (site.feature.properties.kind !== "junction") this.#mark(site);
    this.#unsubscribe = values.subscribe((changed) => this.#follow(changed));
  }

  /** Draws everything again from the values: after loading, and when staleness changed. */
  refresh(): void {
    this.#lampFeatures.forEach((_, index) => this.#lamp(index));
    this.lamps.commit();
    this.#drawHeads();
  }

  use(language: Language, t: Dictionary): void {
    if (!this.#ready) return;
    addHeadImages(this.map, t);
    relabel(this.map, language);
  }

  scheme(dark: boolean): void {
    if (!this.#ready) return;
    const palette = dark ? DARK : LIGHT;
    recolour(this.map, palette);
    this.lamps.recolour(palette, dark);
  }

  fit(): void {
    this.map.fitBounds(bounds(this.#options.inventory), { padding: padding(this.#options.container), animate: !calm() });
  }

  show(feature: Feature): void {
    const target = { center: centre(feature), zoom: Math.max(this.map.getZoom(), 16.5) };
    if (calm()) this.map.jumpTo(target);
    else this.map.easeTo({ ...target, duration: 600 });
  }

  destroy(): void {
    window.clearTimeout(this.#headTimer);
    this.#unsubscribe();
    for (const { marker, component } of this.#marks) {
      void unmount(component);
      marker.remove();
    }
    this.map.remove();
  }

  #mark(site: Site): void {
    const element = document.createElement("div");
    const component = mount(SiteMark, { target: element, props: { site } });
    const marker = new Marker({ element, anchor: "center" }).setLngLat(centre(site.feature)).addTo(this.map);
    this.#marks.push({ marker, component });
  }

  #follow(changed: ReadonlySet<string>): void {
    if (!this.#ready) return;
    let heads = false;
    for (const key of changed) {
      for (const index of this.#lampOf.get(key) ?? []) this.#lamp(index);
      heads ||= this.#headKeys.has(key);
    }
    this.lamps.commit();
    if (heads) this.#headTimer ??= window.setTimeout(() => this.#drawHeads(), HEADS_EVERY_MS);
  }

  #lamp(index: number): void {
    const properties = this.#lampFeatures[index]?.properties;
    if (!properties) return;
    const { values, stale } = this.#options;
    const fault = numeric(values.get(properties.gateway, properties.points?.fault)) ?? 0;
    const level = numeric(values.get(properties.gateway, properties.points?.level));
    this.lamps.set(index, level, fault > 0 ? FAULT : stale(properties.gateway) ? STALE : OK);
  }

  #drawHeads(): void {
    this.#headTimer = undefined;
    const { values, stale } = this.#options;
    const features = this.#heads.map(({ id, geometry, properties }): GeoJSON.Feature => {
      const point = values.get(properties.gateway, properties.points?.lamp);
      const doubtful = !point || point.quality < 2 || stale(properties.gateway);
      const image = headImage(numeric(point) ?? 0, properties.pedestrian ?? false, doubtful);
      return { type: "Feature", geometry, properties: { image, offset: this.#offsets.get(id) ?? [0, 0] } };
    });
    (this.map.getSource("heads") as GeoJSONSource | undefined)?.setData(collection(features));
  }
}

function isSignal(feature: Feature): boolean {
  return feature.properties.kind === "signal";
}

function padding(container: HTMLElement): number {
  return container.clientWidth < 600 ? PADDING_NARROW : PADDING;
}

function calm(): boolean {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}
