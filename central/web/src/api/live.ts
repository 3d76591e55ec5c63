// The live channel: one WebSocket that comes back by itself.
import { backoff } from "./backoff.ts";
import { liveAddress } from "./client.ts";
import type { LiveMessage } from "./types.ts";

export type Link = "connecting" | "open" | "lost";

export interface LiveHandlers {
  message(message: LiveMessage): void;
  link(state: Link): void;
}

// A district under control says something every few seconds; a socket silent for so long may be a dead path.
const SILENCE_MS = 60_000;

/** Opens the channel and keeps it open until the returned function is called. */
export function openLive(handlers: LiveHandlers): () => void {
  let socket: WebSocket | null = null;
  let attempt = 0;
  let timer: number | undefined;
  let watchdog: number | undefined;
  let closed = false;

  const listen = () => {
    window.clearTimeout(watchdog);
    watchdog = window.setTimeout(() => socket?.close(), SILENCE_MS);
  };

  const connect = () => {
    handlers.link(attempt === 0 ? "connecting" : "lost");
    socket = new WebSocket(liveAddress());
    listen();
    socket.onmessage = (event: MessageEvent<string>) => {
      listen();
      if (attempt > 0) attempt = 0;
      handlers.message(JSON.parse(event.data) as LiveMessage);
    };
    socket.onopen = () => handlers.link("open");
    socket.onclose = () => {
      window.clearTimeout(watchdog);
      if (closed) return;
      handlers.link("lost");
      timer = window.setTimeout(connect, backoff(attempt, Math.random()) * 1000);
      attempt += 1;
    };
  };
  // A laptop that wakes up should not wait for the back-off to run out.
  const hurry = () => {
    if (socket?.readyState === WebSocket.CLOSED) {
      window.clearTimeout(timer);
      connect();
    }
  };
  window.addEventListener("online", hurry);
  connect();

  return () => {
    closed = true;
    window.removeEventListener("online", hurry);
    window.clearTimeout(timer);
    window.clearTimeout(watchdog);
    socket?.close();
  };
}
