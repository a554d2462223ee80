/** Typed commands about one consumer group. The head of each Lua file says what it takes, answers, and why it is a script. */
import { packed } from "./carried.js";
import type { Delivery } from "./delivery.js";
import { ofGroup } from "./keys.js";
import type { Call, Word } from "./line.js";
import { entries, list, timestamp, type Claimed, type Copy, type Destination, type Entry } from "./replies.js";
import type { Scripts } from "./scripts.js";

export const SCRIPTS = [
  ...["ensure_group", "announce", "ack", "beat", "mark", "claim", "recover", "move", "drop"],
  ...["promote", "mend_due", "rescue", "retire", "leave", "clock", "publish"],
];

const WINDOW = 1_000; // rows of the pending list that one claim looks at: some 2 ms of the server's time
const BYTES = 4 << 20; // after which a reply is large enough: the beat waits behind it
const PAGE = 500;

/** How many more entries at their last allowed start may be taken, and the delivery count that makes them such. */
interface Lasts {
  readonly most: number;
  readonly count: number;
}

export interface Member {
  readonly service: string;
  readonly host: string;
  readonly pid: number;
  readonly leaseMs: number;
  /** Each event type it knows with its highest version. */
  readonly types: ReadonlyMap<string, number>;
}

export class Group {
  readonly keys: ReturnType<typeof ofGroup>;
  private readonly declared: Word[];

  constructor(
    private readonly call: Call,
    private readonly scripts: Scripts,
    readonly stream: string,
    readonly name: string,
    readonly consumer: string,
    private readonly member: Member,
  ) {
    this.keys = ofGroup(stream, name);
    this.declared = [...member.types].flat();
  }

  /** The same commands on another connection. */
  on(call: Call): Group {
    return new Group(call, this.scripts, this.stream, this.name, this.consumer, this.member);
  }

  source(priv: boolean): string {
    return priv ? this.keys.retry : this.stream;
  }

  /** Create what is missing, adopt what exists; the group's token. `lost` is the one it had, "" for who only starts. */
  async ensure(newToken: string, lost: string): Promise<string> {
    const { hash, groups, types, members, retry, ordered } = this.keys;
    const keys = [this.stream, retry, hash, groups, types, members, ...ordered];
    const args = [this.name, "0", newToken, this.member.service, this.member.leaseMs, lost, "", "", this.consumer];
    const [token] = list(await this.run("ensure_group", keys, [...args, ...this.declared]));
    return String(token);
  }

  /** Write the heartbeat and declare the types; the group's lease in milliseconds, or null: it is another group now. */
  async announce(token: string): Promise<number | null> {
    const { service, host, pid, leaseMs } = this.member;
    const about = JSON.stringify({ service, host, pid, lease: leaseMs / 1000 });
    const { members, hash, types, groups } = this.keys;
    const args = [this.consumer, about, leaseMs, this.name, token, ...this.declared];
    const lease = Number(await this.run("announce", [members, hash, types, groups], args));
    return lease === -1 ? null : lease;
  }

  /** Acknowledge what was handled, whoever owns it by now; how many rows there were, or null: another group. */
  async ack(ids: readonly string[], priv: boolean, token: string): Promise<number | null> {
    const count = Number(await this.run("ack", [this.source(priv), this.keys.hash], [this.name, token, flag(priv), ...ids]));
    return count < 0 ? null : count;
  }

  /** Renew leases: the ids that are ours, and those whose entry was cut; null: another group. */
  async beat(ids: readonly string[], priv: boolean, token: string): Promise<{ kept: Set<string>; cut: Set<string> } | null> {
    const answer = await this.run("beat", [this.source(priv), this.keys.hash], [this.name, this.consumer, token, ...ids]);
    if (answer === -1) return null;
    const [kept, cut] = list(answer).map((part) => new Set(list(part).map(String)));
    return { kept: kept ?? new Set(), cut: cut ?? new Set() };
  }

  /** Count a start that may be lost; whether the entry is ours, or null: another group. */
  async mark(delivery: Delivery): Promise<boolean | null> {
    const { id, priv, token, count } = delivery;
    const answer = await this.run("mark", [this.source(priv), this.keys.hash], [this.name, this.consumer, token, id, count]);
    return answer === -1 ? null : list(answer).length === 1;
  }

  /** Move entries into another of the group's streams; what became of each, or null: another group. */
  async move(copies: readonly Copy[], to: Destination, priv: boolean, token: string): Promise<number[] | null> {
    const { hash, due, types } = this.keys;
    const keys = [this.source(priv), hash, this.keys[to], due, types, hash];
    const args: Word[] = [this.name, this.consumer, token, flag(priv)];
    for (const { delivery, fields, delayMs, unless } of copies) {
      const written = packed(fields);
      args.push(delivery.id, delayMs ?? -1, unless?.type ?? "", unless?.version ?? 0, written.length, ...written);
    }
    return moved(await this.run("move", keys, args));
  }

  /** Settle entries of types that no member ever declared; as `move`. */
  async drop(entries: readonly { id: string; type: string }[], priv: boolean, token: string): Promise<number[] | null> {
    const { types, hash } = this.keys;
    const pairs = entries.flatMap(({ id, type }) => [id, type]);
    return moved(await this.run("drop", [this.source(priv), hash, types, hash], [this.name, this.consumer, token, flag(priv), ...pairs]));
  }

  /** Write copies without a fence: their group was lost, and they are all there is. Sent twice it writes them twice. */
  async rescue(copies: readonly Copy[], to: Destination): Promise<void> {
    const args = copies.flatMap(({ fields, delayMs }): Word[] => {
      const written = packed(fields);
      return [delayMs ?? -1, written.length, ...written];
    });
    await this.run("rescue", [this.keys[to], this.keys.due], args);
  }

  /** Take over stale entries from one window of the pending list; null: the call came too late and took nothing. */
  async claim(priv: boolean, cursor: string, room: number, lasts: Lasts, latestMs: number): Promise<Claimed | null> {
    const keys = [this.source(priv), this.keys.hash, this.keys.dead];
    const sizes = [WINDOW, room, BYTES, lasts.most, lasts.count];
    const args = [this.name, this.consumer, this.member.leaseMs, cursor, ...sizes, flag(priv), timestamp(), Math.trunc(latestMs)];
    const answer = await this.run("claim", keys, args);
    if (answer === -1) return null;
    const [last, token, taken, own, cut] = list(answer);
    const stale = list(own).map(list).map(([id, idle]) => ({ id: String(id), idleMs: Number(idle) }));
    return { cursor: String(last), token: String(token), entries: entries(taken), own: stale, cut: list(cut).length };
  }

  /** A page of the ids that are pending for this consumer, in order, after the given one. */
  async held(priv: boolean, after: string): Promise<string[]> {
    const rows = await this.call("XPENDING", this.source(priv), this.name, after ? `(${after}` : "-", "+", PAGE, this.consumer);
    return list(rows).map((row) => String(list(row)[0]));
  }

  /** Read own pending entries again; how many of the ids were looked at, and what was found. */
  async recover(ids: readonly string[], priv: boolean): Promise<{ looked: number; found: Entry[] }> {
    const [looked, found] = list(await this.run("recover", [this.source(priv)], [this.name, this.consumer, BYTES, ...ids]));
    return { looked: Number(looked), found: entries(found) };
  }

  /** Promote parked copies that are due; milliseconds until the next (-1 for none), and what this consumer was given. */
  async promote(credit: number, unhandledMs: number): Promise<{ waitMs: number; given: Entry[]; settled: number }> {
    const { parked, due, retry, dead, types, hash } = this.keys;
    const args = [this.name, this.consumer, 100, credit, unhandledMs, timestamp(), ...this.declared];
    const [, wait, given, missing, ...settled] = list(await this.run("promote", [parked, due, retry, dead, types, hash], args));
    const others = settled.reduce<number>((sum, each) => sum + Number(each), Number(missing));
    return { waitMs: Number(wait), given: entries(given), settled: others };
  }

  /** Give parked copies that lost their due time one: now. A page; the id to go on after, "" at the end. */
  async mendDue(after: string): Promise<string> {
    return String(list(await this.run("mend_due", [this.keys.parked, this.keys.due], [after, PAGE, 1 << 20]))[0]);
  }

  /** Remove consumers that were silent for so long and owe nothing. */
  async retire(silenceMs: number): Promise<void> {
    await this.run("retire", [this.stream, this.keys.retry, this.keys.members], [this.name, silenceMs]);
  }

  /** Remove the heartbeat, and this consumer where it owes nothing; the entries it still owes. */
  async leave(): Promise<number> {
    return Number(await this.run("leave", [this.stream, this.keys.retry, this.keys.members], [this.name, this.consumer]));
  }

  /** The server's time in milliseconds; refused by one that takes no writes now. */
  async clock(): Promise<number> {
    const [seconds, micros] = list(await this.run("clock", [this.stream], [this.name])).map(Number);
    return (seconds ?? 0) * 1000 + (micros ?? 0) / 1000;
  }

  private run(name: string, keys: readonly string[], args: readonly Word[]): Promise<unknown> {
    return this.scripts.run(this.call, name, keys, args);
  }
}

const flag = (priv: boolean) => (priv ? "1" : "0");
const moved = (answer: unknown) => (answer === -1 ? null : list(answer).map(Number));
