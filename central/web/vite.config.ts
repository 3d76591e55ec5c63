import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// Relative addresses, so that the coordinator may serve the console under any path.
export default defineConfig({
  base: "./",
  plugins: [svelte()],
  worker: { format: "es" },
  build: {
    outDir: "../vigie_central/static",
    emptyOutDir: true,
    target: "es2022",
    // MapLibre is most of it and is loaded after the page stands.
    chunkSizeWarningLimit: 1500,
  },
  server: { proxy: { "/api": { target: "http://127.0.0.1:8600", ws: true } } },
});
