// Faces of signal heads, drawn once per state and language: colour, shape and letter say the same thing three times.
import type { Map as MapLibreMap } from "maplibre-gl";

import type { Dictionary } from "../i18n/fr.ts";
import { LAMP_COLOURS } from "./palette.ts";

export const STATES = [0, 1, 2, 3, 4, 5, 6] as const;
const RATIO = 2;
const SIZE = 20;

export function headImage(state: number, pedestrian: boolean, stale: boolean): string {
  return `head-${pedestrian ? "walk" : "lamp"}-${state}${stale ? "-stale" : ""}`;
}

/** Puts all faces into the map, or replaces them when the language changed. */
export function addHeadImages(map: MapLibreMap, t: Dictionary): void {
  for (const state of STATES) {
    for (const pedestrian of [false, true]) {
      for (const stale of [false, true]) {
        const letters = pedestrian ? t.walkLetter : t.lampLetter;
        const image = draw(state, pedestrian, stale, letters[state] ?? "?");
        const name = headImage(state, pedestrian, stale);
        if (map.hasImage(name)) map.updateImage(name, image);
        else map.addImage(name, image, { pixelRatio: RATIO });
      }
    }
  }
}

/** Red is a square, yellow a diamond, green a disc; flashing has a ring; what is old is only an outline. */
function draw(state: number, pedestrian: boolean, stale: boolean, letter: string): ImageData {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE * RATIO;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  if (!pen) throw new Error("no 2D canvas");
  pen.scale(RATIO, RATIO);
  const colour = LAMP_COLOURS[state] ?? "#5f6b6e";
  const radius = pedestrian ? 6 : 7.5;
  const middle = SIZE / 2;
  outline(pen, state, pedestrian, middle, radius);
  pen.lineJoin = "round";
  pen.lineWidth = 3;
  pen.strokeStyle = "#12191b";
  pen.stroke();
  pen.fillStyle = stale ? "#ffffff" : colour;
  pen.fill();
  pen.lineWidth = stale ? 2 : 1;
  pen.strokeStyle = stale ? colour : "#12191b";
  pen.stroke();
  if (state >= 4) {
    pen.beginPath();
    pen.arc(middle, middle, radius + 1.6, 0, 2 * Math.PI);
    pen.setLineDash([2.2, 2]);
    pen.lineWidth = 1.6;
    pen.strokeStyle = colour;
    pen.stroke();
  }
  const dark = stale || state === 2 || state === 5;
  pen.fillStyle = dark ? "#12191b" : "#ffffff";
  pen.font = `700 ${pedestrian ? 8.5 : 9.5}px system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(letter, middle, middle + 0.5);
  return pen.getImageData(0, 0, canvas.width, canvas.height);
}

function outline(pen: CanvasRenderingContext2D, state: number, pedestrian: boolean, c: number, r: number): void {
  pen.beginPath();
  const colour = state >= 4 ? state - 3 : state;
  if (pedestrian && colour === 3 && state !== 6) pen.arc(c, c, r, 0, 2 * Math.PI);
  else if (colour === 1 || pedestrian) pen.roundRect(c - r * 0.9, c - r * 0.9, r * 1.8, r * 1.8, pedestrian ? 1.5 : 2.5);
  else if (colour === 2) {
    const reach = r * 1.16;
    pen.moveTo(c, c - reach);
    pen.lineTo(c + reach, c);
    pen.lineTo(c, c + reach);
    pen.lineTo(c - reach, c);
    pen.closePath();
  } else pen.arc(c, c, r, 0, 2 * Math.PI);
}
