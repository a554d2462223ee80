/**
 * What travels with a copy in a group's private streams: its history, in `eb…` fields behind the original ones. Pure.
 * The same fields are read and written by every member of the group, in whatever language.
 */
import type { Fields } from "./wire.js";

export interface Carried {
  /** Its entry id in the topic, where it was first read; "" while it stands there. */
  readonly entry: string;
  /** Runs of its handler that failed and were counted. */
  readonly attempts: number;
  /** Starts that were lost, with their process or its lease; null while it was never claimed. */
  readonly crashes: number | null;
  /** How often it was parked because the member that read it does not know its type. */
  readonly hops: number;
  /** When that was first so, in milliseconds since 1970; 0 for never. */
  readonly hopped: number;
  /** How often it came back from the dead letters. */
  readonly redrives: number;
  /** A replay copied it out of the topic. */
  readonly replayed: boolean;
}

/** What an entry of a topic carries. */
export const FRESH: Carried = { entry: "", attempts: 0, crashes: null, hops: 0, hopped: 0, redrives: 0, replayed: false };

const ORIGIN = Buffer.from("ebentry"); // our block begins with it: what a publisher calls so stands before it
const REST = "ebrest"; // what did not fit into one write, as a JSON list of base64 texts
const MOST = 1_000_000;
const LATEST = 253_402_300_799_000; // the last millisecond of the year 9999

/** Names and values that a script can write at once: Lua's stack has room for 8,000. */
export const MOST_VALUES = 7_000;

/** Part a copy into the original fields and its history. A copy without our block carries nothing. */
export function split(fields: Fields): { fields: Buffer[]; carried: Carried } {
  const at = blockAt(fields);
  const found = new Map<string, Buffer>();
  for (let i = at; i + 1 < fields.length; i += 2) {
    const [name, value] = [fields[i]?.toString("latin1"), fields[i + 1]];
    if (name !== undefined && value) found.set(name, value); // of our own names the last counts
  }
  const count = (name: string, most = MOST) => number(found.get(name), most);
  const carried = {
    entry: found.get("ebentry")?.toString("utf8") ?? "",
    attempts: count("ebattempts") ?? 0,
    crashes: count("ebcrashes"),
    hops: count("ebhops") ?? 0,
    hopped: count("ebhopped", LATEST) ?? 0,
    redrives: count("ebredrives") ?? 0,
    replayed: Boolean(count("ebreplayed", 1)),
  };
  return { fields: [...fields.slice(0, at), ...unpacked(found.get(REST))], carried };
}

/** The block as names and values; what is zero is left out. */
export function block(carried: Carried): Buffer[] {
  const { entry, attempts, crashes, hops, hopped, redrives, replayed } = carried;
  const written = [ORIGIN, Buffer.from(entry)];
  for (const [name, value] of Object.entries({ attempts, crashes, hops, hopped, redrives, replayed: Number(replayed) })) {
    if (value || (name === "crashes" && value !== null)) written.push(Buffer.from(`eb${name}`), Buffer.from(String(value)));
  }
  return written;
}

/** A copy as a script can write it: what is too much for fields of their own stands in `ebrest`. */
export function packed(fields: Fields): Fields {
  if (fields.length <= MOST_VALUES) return fields;
  const at = blockAt(fields);
  const kept = MOST_VALUES - (fields.length - at) - 2;
  const rest = fields.slice(kept, at).map((each) => each.toString("base64"));
  return [...fields.slice(0, kept), ...fields.slice(at), Buffer.from(REST), Buffer.from(JSON.stringify(rest))];
}

function blockAt(fields: Fields): number {
  for (let at = fields.length - 2; at >= 0; at -= 2) {
    if (fields[at]?.equals(ORIGIN)) return at;
  }
  return fields.length;
}

function unpacked(rest: Buffer | undefined): Buffer[] {
  if (!rest) return [];
  try {
    const found = (JSON.parse(rest.toString("utf8")) as unknown[]).map((each) => unbased(String(each)));
    return found.length % 2 ? [] : found;
  } catch {
    return []; // written by another hand
  }
}

function unbased(written: string): Buffer {
  const bytes = Buffer.from(written, "base64");
  if (bytes.toString("base64") !== written) throw new Error("no base64"); // Node reads whatever it is given
  return bytes;
}

/** A number as we write them, `most` at the most; null where there is none, or something else. */
function number(value: Buffer | undefined, most: number): number | null {
  const written = value?.toString("latin1") ?? "";
  return /^[0-9]{1,19}$/.test(written) ? Math.min(most, Number(written)) : null;
}
