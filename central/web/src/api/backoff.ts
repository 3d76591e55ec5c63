/** Seconds to wait before attempt `attempt` (0, 1, ...): full jitter, so that a thousand pages do not come back at once. */
export function backoff(attempt: number, random: number, base = 0.5, ceiling = 15): number {
  const limit = Math.min(ceiling, base * 2 ** Math.min(attempt, 16));
  return 0.1 + random * limit;
}
