// The few requests the page makes. Addresses are relative to the page, so that any path may serve it.
import type { Bucket, Inventory } from "./types.ts";

const BASE = new URL("api/v1/", document.baseURI);

async function get<T>(path: string, query: Record<string, string> = {}): Promise<T> {
  const url = new URL(path, BASE);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  const answer = await fetch(url, { headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${answer.statusText}`);
  return (await answer.json()) as T;
}

/** What there is to draw; null when the coordinator knows no inventory. */
export async function inventory(): Promise<Inventory | null> {
  const found = await get<Inventory>("inventory").catch(() => null);
  return found && found.features.length > 0 ? found : null;
}

/** Past values of a point between two instants (UTC seconds), as `buckets` rows at most. */
export async function history(
  gateway: string,
  point: string,
  from: number,
  to: number,
  buckets: number,
): Promise<Bucket[]> {
  const answer = await get<{ buckets: Bucket[] }>("history", {
    gateway,
    point,
    from: String(from),
    to: String(to),
    buckets: String(buckets),
  });
  return answer.buckets;
}

/** Address of the live channel, with the scheme that belongs to the page's own. */
export function liveAddress(): string {
  const url = new URL("live", BASE);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}
