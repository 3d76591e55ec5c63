// Streetlights as one GL draw call: a city has 140,000 of them, and a change costs two bytes, not a new tile.
import { type CustomLayerInterface, type CustomRenderMethodInput, type Map as MapLibreMap, MercatorCoordinate } from "maplibre-gl";

import type { Position } from "../api/types.ts";
import type { Palette } from "./palette.ts";

/** Per lamp: level 0 to 255, then what is the matter with it. */
export const OK = 0;
export const FAULT = 1;
export const STALE = 2;

const VERTEX = `#version 300 es
in vec2 place;
in vec2 state;
uniform mat4 matrix;
uniform float size;
out float level;
flat out int matter;
void main() {
  gl_Position = matrix * vec4(place, 0.0, 1.0);
  gl_PointSize = size;
  level = state.x / 255.0;
  matter = int(state.y + 0.5);
}`;

// A core that fills with the level inside a halo that grows with it; a fault is a ring with a gap, an old value a thin ring.
const FRAGMENT = `#version 300 es
precision mediump float;
in float level;
flat in int matter;
uniform vec3 glow;
uniform vec3 unlit;
uniform vec3 fault;
uniform float halo;
out vec4 colour;
void main() {
  vec2 at = gl_PointCoord * 2.0 - 1.0;
  float r = length(at);
  float core = 1.0 - smoothstep(0.15, 0.19, r);
  float ring = smoothstep(0.09, 0.12, r) * core;
  if (matter == 1) {
    float mark = max(smoothstep(0.24, 0.28, r) * (1.0 - smoothstep(0.36, 0.40, r)) * step(0.1, abs(at.x)), core);
    colour = vec4(fault * mark, mark);
    return;
  }
  if (matter == 2) {
    colour = vec4(unlit, 1.0) * ring;
    return;
  }
  float light = halo * level * pow(max(0.0, 1.0 - r), 1.6);
  vec3 body = mix(unlit, glow, step(0.02, level) * (0.35 + 0.65 * level));
  float solid = level > 0.02 ? core : ring;
  colour = vec4(body * solid + glow * light * (1.0 - solid), solid + light * (1.0 - solid) * 0.75);
}`;

export class LampLayer implements CustomLayerInterface {
  readonly id = "lamps";
  readonly type = "custom" as const;
  readonly #places: Float32Array;
  readonly #state: Uint8Array;
  readonly #origin: { x: number; y: number };
  #palette: Palette;
  #dark: boolean;
  #map: MapLibreMap | null = null;
  #gl: WebGL2RenderingContext | null = null;
  #program: WebGLProgram | null = null;
  #array: WebGLVertexArrayObject | null = null;
  #buffer: WebGLBuffer | null = null;
  #changed = false;

  /** Positions relative to the first lamp: single precision is then exact to a millimetre across a city. */
  constructor(positions: readonly Position[], palette: Palette, dark: boolean) {
    const merged = positions.map((position) => MercatorCoordinate.fromLngLat(position));
    this.#origin = merged[0] ?? { x: 0, y: 0 };
    this.#places = new Float32Array(
      merged.flatMap(({ x, y }) => [(x - this.#origin.x) * 2 ** 20, (y - this.#origin.y) * 2 ** 20]),
    );
    this.#state = new Uint8Array(positions.length * 2).fill(STALE);
    this.#palette = palette;
    this.#dark = dark;
  }

  /** Level 0 to 100 (null: never read) and what is the matter. */
  set(index: number, level: number | null, matter: number): void {
    this.#state[index * 2] = Math.round(Math.max(0, Math.min(100, level ?? 0)) * 2.55);
    this.#state[index * 2 + 1] = level === null && matter === OK ? STALE : matter;
    this.#changed = true;
  }

  /** Level (0 to 255) and matter of a lamp, as drawn. */
  get(index: number): [number, number] {
    return [this.#state[index * 2] ?? 0, this.#state[index * 2 + 1] ?? STALE];
  }

  recolour(palette: Palette, dark: boolean): void {
    this.#palette = palette;
    this.#dark = dark;
    this.#map?.triggerRepaint();
  }

  /** Asks for a frame if something was set since the last one. */
  commit(): void {
    if (this.#changed) this.#map?.triggerRepaint();
  }

  onAdd(map: MapLibreMap, context: WebGLRenderingContext | WebGL2RenderingContext): void {
    const gl = context as WebGL2RenderingContext;
    this.#map = map;
    this.#gl = gl;
    const program = link(gl);
    this.#program = program;
    this.#array = gl.createVertexArray();
    gl.bindVertexArray(this.#array);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, this.#places, gl.STATIC_DRAW);
    const place = gl.getAttribLocation(program, "place");
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, 2, gl.FLOAT, false, 0, 0);
    this.#buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#buffer);
    gl.bufferData(gl.ARRAY_BUFFER, this.#state, gl.DYNAMIC_DRAW);
    const state = gl.getAttribLocation(program, "state");
    gl.enableVertexAttribArray(state);
    gl.vertexAttribPointer(state, 2, gl.UNSIGNED_BYTE, false, 0, 0);
    gl.bindVertexArray(null);
  }

  render(_: WebGLRenderingContext | WebGL2RenderingContext, input: CustomRenderMethodInput): void {
    const [gl, program] = [this.#gl, this.#program];
    if (!gl || !program || !this.#map) return;
    gl.useProgram(program);
    gl.bindVertexArray(this.#array);
    if (this.#changed) {
      this.#changed = false;
      gl.bindBuffer(gl.ARRAY_BUFFER, this.#buffer);
      gl.bufferSubData(gl.ARRAY_BUFFER, 0, this.#state);
    }
    const at = (name: string) => gl.getUniformLocation(program, name);
    gl.uniformMatrix4fv(at("matrix"), false, this.#local(input.defaultProjectionData.mainMatrix));
    const zoom = this.#map.getZoom();
    gl.uniform1f(at("size"), Math.max(16, Math.min(60, 1.7 * 2.5 ** (zoom - 12))) * devicePixelRatio);
    gl.uniform3fv(at("glow"), this.#palette.glow);
    gl.uniform3fv(at("unlit"), this.#palette.unlit);
    gl.uniform3fv(at("fault"), this.#palette.fault);
    gl.uniform1f(at("halo"), this.#dark ? 0.85 : 0.6);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.drawArrays(gl.POINTS, 0, this.#state.length / 2);
    gl.bindVertexArray(null);
  }

  // The map's matrix times the shift to our origin and the scale, in double precision.
  #local(matrix: ArrayLike<number>): Float32Array {
    const m = Array.from(matrix);
    const scale = 2 ** -20;
    const { x, y } = this.#origin;
    const out = new Float32Array(16);
    for (let row = 0; row < 4; row++) {
      const [a = 0, b = 0, c = 0, d = 0] = [m[row], m[4 + row], m[8 + row], m[12 + row]];
      out[row] = a * scale;
      out[4 + row] = b * scale;
      out[8 + row] = c;
      out[12 + row] = a * x + b * y + d;
    }
    return out;
  }
}

function link(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram();
  for (const [type, text] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(type);
    if (!shader) throw new Error("no shader");
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader) ?? "shader");
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) ?? "program");
  return program;
}
