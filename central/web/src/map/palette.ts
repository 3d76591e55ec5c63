// Colours that WebGL draws with; those of the page stand in app.css. The two are kept alike by hand.
export interface Palette {
  land: string;
  casing: string;
  road: string;
  arterial: string;
  walk: string;
  pipe: string;
  disc: string;
  discLine: string;
  label: string;
  halo: string;
  /** Lamp light and unlit lamp, as red, green, blue between 0 and 1. */
  glow: [number, number, number];
  unlit: [number, number, number];
  fault: [number, number, number];
}

export const LIGHT: Palette = {
  land: "#e9ece4",
  casing: "#bcc6bb",
  road: "#ffffff",
  arterial: "#fffdf6",
  walk: "#dfe3da",
  pipe: "#8fb7cf",
  disc: "#ffffff",
  discLine: "#b9c4c2",
  label: "#27363a",
  halo: "#f4f6f0",
  glow: [0.93, 0.62, 0.05],
  unlit: [0.55, 0.6, 0.6],
  fault: [0.79, 0.16, 0.2],
};

export const DARK: Palette = {
  land: "#0e1518",
  casing: "#0a1012",
  road: "#253238",
  arterial: "#304048",
  walk: "#1b262b",
  pipe: "#2c5a76",
  disc: "#172126",
  discLine: "#3c4d54",
  label: "#d5dfe0",
  halo: "#0e1518",
  glow: [1.0, 0.8, 0.45],
  unlit: [0.33, 0.39, 0.41],
  fault: [1.0, 0.42, 0.42],
};

/** Faces of signal heads: the same in both schemes, as on the street. */
export const LAMP_COLOURS: Record<number, string> = {
  0: "#5f6b6e",
  1: "#d3323c",
  2: "#f2b50c",
  3: "#1c9c5b",
  4: "#d3323c",
  5: "#f2b50c",
  6: "#1c9c5b",
};
