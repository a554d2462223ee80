/** What becomes of an entry, decided from how its delivery ended. Pure: no clock, no chance, no Redis. */
import type { Carried } from "./carried.js";
import { DecodeError, EncodeError } from "./wire.js";

/** A handler throws it for an event that it will never take: a dead letter at once. */
export class Reject extends Error {
  override readonly name = "Reject";
}

/** Marked starts that may be lost before an event is dead-lettered without being run. */
export const CRASHES = 3;
/** Milliseconds that an event of a declared type waits for a member that knows it. */
export const UNHANDLED_MS = 86_400_000;
const SHORTEST_HOP_MS = 1_000;

export interface Retry {
  /** Runs of the handler, the first included. */
  readonly attempts: number;
  /** Milliseconds before the second run, the third, …; the last one repeats. */
  readonly backoff: readonly number[];
}

/** How a delivery ended in this process. */
export type Ended =
  | { readonly how: "handled" }
  | { readonly how: "raised"; readonly error: unknown; readonly type: string }
  | { readonly how: "undecodable" | "crashed" | "stopped"; readonly why: string; readonly type: string }
  | { readonly how: "nobody" | "newer"; readonly why: string; readonly type: string; readonly version: number }
  | { readonly how: "lost" }; // its lease is another's: nothing is ours to write any more

export type Reason = "attempts" | "rejected" | "never" | "crashes" | "undecodable" | "newer" | "unhandled";

/** What is written about an entry. */
export type Decision =
  | { readonly write: "ack" | "nothing" }
  | { readonly write: "drop"; readonly carried: Carried; readonly type: string }
  | { readonly write: "release"; readonly carried: Carried }
  | { readonly write: "park"; readonly carried: Carried; readonly delayMs: number }
  | {
      readonly write: "dead-letter";
      readonly carried: Carried;
      readonly reason: Reason;
      readonly unless?: { type: string; version: number };
    };

/**
 * Choose the outcome.
 *
 * `carried` is what a copy would carry before anything new is counted; `lost`: the lease was found to be another's while
 * the handler ran, so that only its success counts. `chance` is a number from 0 to 1: delays vary by ±20 %.
 */
export function decide(ended: Ended, carried: Carried, lost: boolean, retry: Retry, chance: number): Decision {
  if (ended.how === "handled") return { write: "ack" };
  if (ended.how === "lost" || lost) return { write: "nothing" };
  switch (ended.how) {
    case "nobody":
      return { write: "drop", carried, type: ended.type };
    case "newer":
      return { write: "dead-letter", carried, reason: "newer", unless: { type: ended.type, version: ended.version } };
    case "stopped":
      return { write: "release", carried };
    case "undecodable":
      return { write: "dead-letter", carried, reason: "undecodable" };
    case "crashed":
      return { write: "dead-letter", carried, reason: "crashes" };
    case "raised":
      return afterRun(ended.error, { ...carried, attempts: carried.attempts + 1, hops: 0, hopped: 0 }, retry, chance);
  }
}

function afterRun(error: unknown, carried: Carried, retry: Retry, chance: number): Decision {
  if (error instanceof Reject) return { write: "dead-letter", carried, reason: "rejected" };
  if (carried.attempts >= retry.attempts) return { write: "dead-letter", carried, reason: "attempts" };
  // What cannot be written or read today cannot be tomorrow.
  if (error instanceof EncodeError || error instanceof DecodeError) return { write: "dead-letter", carried, reason: "never" };
  return { write: "park", carried, delayMs: delay(carried.attempts, retry, chance) };
}

/** What becomes of an event that this program does not know, though a member of its group does: it waits for that one. */
export function hop(carried: Carried, retry: Retry, nowMs: number, chance: number): Decision {
  const first = carried.hopped || nowMs;
  const next = { ...carried, hops: carried.hops + 1, hopped: first };
  if (nowMs - first >= UNHANDLED_MS) return { write: "dead-letter", carried: next, reason: "unhandled" };
  return { write: "park", carried: next, delayMs: Math.max(SHORTEST_HOP_MS, delay(next.hops, retry, chance)) };
}

function delay(times: number, retry: Retry, chance: number): number {
  const planned = retry.backoff[Math.min(times, retry.backoff.length) - 1] ?? 0;
  return Math.round(planned * (0.8 + 0.4 * chance));
}
