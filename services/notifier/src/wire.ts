/**
 * What an event is on the wire: CloudEvents 1.0, one stream field per attribute. Pure; see docs/wire.md.
 * tests/wire/*.json says what must come out of it; the Python package is held to the same files.
 */
import { randomBytes } from "node:crypto";

/** An entry's names and values alternately, as Redis gives them. Bytes: nobody promised that they are text. */
export type Fields = readonly Buffer[];

export interface Envelope {
  readonly id: string;
  readonly type: string;
  readonly version: number;
  readonly source: string;
  /** When the event was first published, RFC 3339 in UTC with milliseconds; null where its publisher did not say. */
  readonly time: string | null;
  readonly data: unknown;
  /** All further attributes, ours among them. */
  readonly attributes: ReadonlyMap<string, string>;
}

/** No event can be read from an entry. Its text never shows a value: those are the publisher's, and logs are not his. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}

/** An event cannot be written so that others can read it: to try again changes nothing. */
export class EncodeError extends Error {
  override readonly name = "EncodeError";
}

const FIRST = ["specversion", "id", "type", "source", "time", "data"] as const;
const OURS = new Set<string>([
  ...FIRST,
  ...["datacontenttype", "dataschema", "subject", "partitionkey", "dataversion"],
  ...["traceparent", "tracestate", "correlationid", "causationid"],
]);
const VERSION = /^[1-9][0-9]{0,8}$/;
const TIME = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;
const UNPRINTABLE = /[\x00-\x1f\x7f-\x9f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const MOST_BYTES = 1_048_576;

// Fatal: what is no UTF-8 is refused, not mended. A byte order mark belongs to the text, as everywhere but in files.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Read an entry's fields; null where there is no `specversion`: an entry of some other program. Throws DecodeError. */
export function parse(fields: Fields): Envelope | null {
  if (fields.length % 2) throw new DecodeError("the entry's last field has no value");
  const found = byName(fields);
  const first = new Map(FIRST.map((name) => [name as string, found.get(name)]));
  if (first.get("specversion") === undefined) return null;
  if (!first.get("specversion")?.toString("latin1").startsWith("1.")) throw new DecodeError("the entry's specversion is not 1.x");
  for (const [name, value] of first) {
    if (name === "time" || (name === "data" && value?.length === 0)) continue; // empty data is no JSON, which is said below
    if (!value?.length) throw new DecodeError(`the entry has no ${name}`);
  }
  const attributes = new Map([...found].filter(([name]) => !first.has(name)).map(([name, value]) => [text(name, "latin1"), text(value)]));
  const [id, type, source] = ["id", "type", "source"].map((name) => text(first.get(name)));
  const time = first.get("time");
  return {
    ...{ id: id ?? "", type: type ?? "", source: source ?? "" },
    version: version(attributes.get("dataversion") ?? "1"),
    time: time === undefined ? null : moment(text(time)),
    data: json(first.get("data")),
    attributes,
  };
}

/** Whether it can be an attribute's value: a text, not empty, without control characters or half pairs. */
export const isAttribute = (value: string) => value !== "" && !UNPRINTABLE.test(value);

/** What the publisher added beside the attributes that everybody knows. */
export function headers(envelope: Envelope): Map<string, string> {
  return new Map([...envelope.attributes].filter(([name]) => !OURS.has(name) && !name.startsWith("eb")));
}

/** What an entry says it is, for its dead letter; nobody has checked it. */
export function typeOf(fields: Fields): string {
  for (let at = 0; at + 1 < fields.length; at += 2) {
    if (fields[at]?.equals(Buffer.from("type"))) return fields[at + 1]?.toString("utf8") ?? "";
  }
  return "";
}

export interface Draft {
  readonly type: string;
  readonly source: string;
  readonly data: unknown;
  readonly key?: string;
  readonly attributes?: Readonly<Record<string, string>>;
}

/** Write an event: its fields in the order in which all of ours stand, so that Redis stores the names once. Throws EncodeError. */
export function encode(draft: Draft, now = Date.now()): { id: string; fields: string[] } {
  const id = uuid7(now);
  const rest = { ...(draft.key === undefined ? {} : { partitionkey: draft.key }), ...draft.attributes };
  for (const [name, value] of Object.entries(rest)) {
    if (!isAttribute(value)) throw new EncodeError(`attribute ${name} is empty or has control characters: leave it out`);
  }
  const time = new Date(now).toISOString();
  const fields = ["specversion", "1.0", "id", id, "type", draft.type, "source", draft.source, "time", time];
  fields.push("data", JSON.stringify(draft.data), ...Object.entries(rest).flat());
  const size = fields.reduce((sum, each) => sum + Buffer.byteLength(each), 0);
  if (size > MOST_BYTES) throw new EncodeError(`${draft.type} makes an entry of ${size} bytes; publish a reference to what is large`);
  return { id, fields };
}

/** A UUID of version 7 (RFC 9562, section 5.7): ids of one publisher sort by their time. */
export function uuid7(milliseconds: number, chance: Buffer = randomBytes(10)): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUIntBE(milliseconds, 0, 6);
  chance.copy(bytes, 6, 0, 10);
  bytes[6] = (bytes.readUInt8(6) & 0x0f) | 0x70;
  bytes[8] = (bytes.readUInt8(8) & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Values by name; latin1 keeps each byte of a name apart. Of a name that stands twice the first counts. */
function byName(fields: Fields): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [name, value] = [fields[at]?.toString("latin1"), fields[at + 1]];
    if (name !== undefined && value && !found.has(name)) found.set(name, value);
  }
  return found;
}

function text(value: Buffer | string | undefined, encoding?: "latin1"): string {
  try {
    return utf8.decode(typeof value === "string" ? Buffer.from(value, encoding) : value);
  } catch {
    throw new DecodeError("the entry's attributes are not UTF-8");
  }
}

function version(written: string): number {
  if (!VERSION.test(written)) throw new DecodeError("the entry's dataversion is no whole number from 1");
  return Number(written);
}

function json(data: Buffer | undefined): unknown {
  try {
    return JSON.parse(utf8.decode(data));
  } catch {
    throw new DecodeError("the entry's data is no JSON"); // not what JSON.parse says: it quotes
  }
}

function moment(written: string): string {
  const part = TIME.exec(written);
  if (!part) throw new DecodeError("the entry's time is not RFC 3339");
  const [year, month, day, hour, minute, second] = part.slice(1, 7).map(Number) as [number, number, number, number, number, number];
  const [east, zoneHour, zoneMinute] = [part[8] === "-" ? -1 : 1, Number(part[9] ?? 0), Number(part[10] ?? 0)];
  const local = new Date(0);
  local.setUTCFullYear(year, month - 1, day); // not Date.UTC: that takes the years 0 to 99 for 1900 and later
  local.setUTCHours(hour, minute, second, Number((part[7] ?? "").slice(0, 3).padEnd(3, "0")));
  const there = local.toISOString().startsWith(`${part[1]}-${part[2]}-${part[3]}T${part[4]}:${part[5]}:${part[6]}`);
  const utc = new Date(local.getTime() - east * (zoneHour * 60 + zoneMinute) * 60_000);
  const inRange = year > 0 && utc.getUTCFullYear() > 0 && utc.getUTCFullYear() < 10_000;
  if (!there || zoneHour > 23 || zoneMinute > 59 || !inRange) throw new DecodeError("the entry's time does not exist");
  return utc.toISOString();
}
