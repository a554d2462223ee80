/** Runs handlers, so many at a time, and says how each delivery ended. */
import type { Delivery } from "./delivery.js";
import { isLast, type Gate } from "./gate.js";
import type { Ended } from "./outcome.js";
import { DecodeError, isAttribute, parse, typeOf, type Envelope } from "./wire.js";

export interface Context {
  readonly envelope: Envelope;
  /** 1 in the first run. */
  readonly attempt: number;
  /** Aborted when the lease is another's, or the shutdown's deadline is over: what ends after that is no success. */
  readonly signal: AbortSignal;
}

/** What is done with one type of event. */
export interface Route<T> {
  /** The highest version that is known. */
  readonly version: number;
  /** Make an event of the envelope's data; throws DecodeError, without values. */
  readonly read: (data: unknown) => T;
  readonly handle: (event: T, context: Context) => Promise<void>;
}

export type Routes = ReadonlyMap<string, Route<unknown>>;

export class Executor {
  readonly running = new Map<Delivery, Promise<void>>();
  private queue: Delivery[] = [];
  private stopping = false;

  constructor(
    private readonly routes: Routes,
    private readonly gate: Gate,
    private readonly atOnce: number,
    private readonly ended: (delivery: Delivery, ended: Ended) => void,
  ) {}

  /** Queue deliveries; what was handed over before goes first, so that a backlog cannot keep it out. */
  put(deliveries: readonly Delivery[], first: boolean): void {
    this.queue = first ? [...deliveries, ...this.queue] : [...this.queue, ...deliveries];
    this.pump();
  }

  /** Start nothing any more: what the deadline's abort ends must not make room for what nobody would abort. */
  stop(): void {
    this.stopping = true;
  }

  /** Take out what never started. */
  clear(): Delivery[] {
    const waiting = this.queue;
    this.queue = [];
    return waiting;
  }

  /** How many wait here, or run, at their last allowed start. */
  get lasts(): number {
    return [...this.running.keys(), ...this.queue].filter(isLast).length;
  }

  private pump(): void {
    while (!this.stopping && this.running.size < this.atOnce) {
      const alone = [...this.running.keys()].some(isLast);
      const at = this.queue.findIndex((each) => !each.lost && !(alone && isLast(each)));
      const [next] = at < 0 ? [] : this.queue.splice(at, 1);
      if (!next) return;
      this.running.set(next, this.run(next));
    }
  }

  /** It is no longer ours, and did not start: forget it. */
  forget(delivery: Delivery): boolean {
    const at = this.queue.indexOf(delivery);
    if (at >= 0) this.queue.splice(at, 1);
    return at >= 0;
  }

  private async run(delivery: Delivery): Promise<void> {
    const ended = await this.end(delivery);
    this.running.delete(delivery);
    this.ended(delivery, ended);
    this.pump();
  }

  private async end(delivery: Delivery): Promise<Ended> {
    const refused = await this.gate.admit(delivery);
    if (refused) return refused;
    const found = resolve(this.routes, delivery);
    if ("how" in found) return found;
    const { signal } = delivery.stop;
    let ended: Ended = { how: "handled" };
    try {
      await found.route.handle(found.event, { envelope: found.envelope, attempt: delivery.carried.attempts + 1, signal });
    } catch (error) {
      ended = { how: "raised", error, type: found.envelope.type };
    }
    if (!signal.aborted) return ended;
    return delivery.lost ? { how: "lost" } : { how: "stopped", why: "it was stopped", type: found.envelope.type };
  }
}

type Found = { route: Route<unknown>; event: unknown; envelope: Envelope };

/** From an entry to its handler, or why not. Whatever stands in the entry, this returns. */
export function resolve(routes: Routes, delivery: Delivery): Found | Ended {
  const undecodable = (why: string): Ended => ({ how: "undecodable", why, type: typeOf(delivery.fields) });
  try {
    const envelope = parse(delivery.fields);
    if (!envelope) return undecodable("the entry has no specversion field");
    const { type, version } = envelope;
    const route = routes.get(type);
    if (!route && !isAttribute(type)) return undecodable("the entry's type has control characters"); // nobody will ever know it
    if (!route) return { how: "nobody", why: "no handler of this group names its type", type, version };
    if (version > route.version) {
      return { how: "newer", why: `it has version ${version}, this program knows up to ${route.version}`, type, version };
    }
    return { route, event: route.read(envelope.data), envelope };
  } catch (error) {
    return undecodable(error instanceof DecodeError ? error.message : "it cannot be read");
  }
}
