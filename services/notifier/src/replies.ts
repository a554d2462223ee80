/** What goes to a group's scripts, and what comes back: values, no I/O. */
import { block, type Carried } from "./carried.js";
import type { Delivery } from "./delivery.js";
import type { Fields } from "./wire.js";

/** What a script says became of one entry that was to be moved or dropped. */
export const MOVED = { DONE: 1, TAKEN: 2, GONE: 3, DECLARED: 4 } as const;
export type Destination = "retry" | "parked" | "dead";

export interface Entry {
  readonly id: string;
  readonly fields: Fields;
  readonly count: number;
}

/** A copy on its way: what it is made of, when it is due, and the type and version that nobody may have declared. */
export interface Copy {
  readonly delivery: Delivery;
  readonly fields: Fields;
  readonly delayMs?: number | undefined;
  readonly unless?: { readonly type: string; readonly version: number } | undefined;
}

export interface Claimed {
  readonly cursor: string;
  readonly token: string;
  readonly entries: Entry[];
  readonly own: { id: string; idleMs: number }[];
  readonly cut: number;
}

/** A copy's fields: the original ones, and behind them its history. */
export const copied = (delivery: Delivery, carried: Carried): Fields => [...delivery.fields, ...block(carried)];

export const timestamp = () => new Date().toISOString();

/** An array of a reply; entries whose stream was cut have none. */
export const list = (part: unknown): unknown[] => (Array.isArray(part) ? part : []);

/** Entries of a reply; those that were cut from the stream while they were pending have no fields, and are left out. */
export function entries(rows: unknown): Entry[] {
  return list(rows)
    .map(list)
    .filter(([, fields]) => Array.isArray(fields))
    .map(([id, fields, count]) => ({ id: String(id), fields: list(fields) as Buffer[], count: Number(count ?? 1) }));
}
