/** Writes what became of deliveries, in batches, again until Redis has answered. An entry is in hand until then. */
import type { Carried } from "./carried.js";
import { Bell } from "./clock.js";
import type { Delivery, InHand } from "./delivery.js";
import type { Group } from "./group.js";
import { Refused } from "./line.js";
import { log } from "./log.js";
import type { Membership } from "./membership.js";
import { hop, type Decision, type Ended, type Retry } from "./outcome.js";
import { MOVED, copied, timestamp, type Copy, type Destination } from "./replies.js";

interface Settlement {
  readonly delivery: Delivery;
  readonly ended: Ended;
  decision: Decision;
  sent: boolean;
}

const LINGER_MS = 4; // what an acknowledgement may wait for company
const MOST = { ack: 500, other: 100 }; // entries of one script
const MOST_BYTES = 1 << 20;
const [MESSAGE, TRACEBACK] = [1_000, 4_000]; // characters that a dead letter keeps

export class Settler {
  private readonly open = new Set<Settlement>();
  private readonly work = new Bell();

  constructor(
    private readonly group: Group,
    private readonly membership: Membership,
    private readonly inHand: InHand,
    private readonly retry: Retry,
    private readonly parked: (delayMs: number) => void,
  ) {}

  /** Have an outcome written. Returns at once. */
  add(delivery: Delivery, ended: Ended, decision: Decision): void {
    delivery.settling = true;
    this.open.add({ delivery, ended, decision, sent: false });
    this.work.ring();
  }

  get idle(): boolean {
    return this.open.size === 0;
  }

  /** Whoever waits for work looks whether it is time to end. */
  wake(): void {
    this.work.ring();
  }

  /** Write what there is; what is refused in one batch does not hold up the others. */
  async once(): Promise<void> {
    if (this.idle) await this.work.wait();
    await new Promise((resolve) => setTimeout(resolve, LINGER_MS));
    let refused: unknown;
    for (const batch of this.batches()) {
      // A refusal may be about one copy alone: then each goes by itself.
      for (const part of [batch, ...batch.map((each) => [each])]) {
        const left = part.filter((each) => this.open.has(each));
        if (!left.length) continue;
        try {
          await this.send(left);
        } catch (error) {
          if (!(error instanceof Refused)) throw error;
          refused = error;
          if (error.code !== "ERR") break;
        }
      }
    }
    if (refused && !this.idle) throw refused;
  }

  /** Write copies of deliveries that only this process holds, since their group was lost or their entry was cut. */
  async rescue(deliveries: readonly Delivery[]): Promise<void> {
    for (const delivery of deliveries) {
      await this.group.rescue([{ delivery, fields: copied(delivery, delivery.carry()) }], "retry");
      this.inHand.letGo(delivery);
    }
  }

  private batches(): Settlement[][] {
    const batches = new Map<string, Settlement[][]>();
    const sizes = new Map<Settlement[], number>();
    for (const each of this.open) {
      const { priv, token, fields } = each.delivery;
      const size = fields.reduce((sum, field) => sum + field.length, 0);
      const key = [priv, token, each.decision.write, destination(each.decision)].join(" ");
      const found = batches.get(key) ?? [];
      batches.set(key, found);
      const last = found.at(-1);
      const most = each.decision.write === "ack" ? MOST.ack : MOST.other;
      const fits = last && last.length < most && (each.decision.write === "ack" || (sizes.get(last) ?? 0) + size < MOST_BYTES);
      const batch = fits ? last : [];
      if (!fits) found.push(batch);
      batch.push(each);
      sizes.set(batch, (sizes.get(batch) ?? 0) + size);
    }
    return [...batches.values()].flat();
  }

  private async send(batch: Settlement[]): Promise<void> {
    const { priv, token } = batch[0]?.delivery ?? { priv: false, token: "" };
    const again = new Set(batch.filter((each) => each.sent));
    for (const each of batch) each.sent = true;
    const answers = await this.write(batch, priv, token);
    if (answers === null) {
      await this.membership.heal(token);
      const orphans = batch.filter((each) => each.delivery.token === token && this.membership.token !== token);
      return this.orphaned(orphans);
    }
    const cut: Settlement[] = [];
    batch.forEach((each, at) => {
      const answer = answers[at];
      if (answer === MOVED.DECLARED) this.hop(each);
      else if (answer === MOVED.DONE) this.done(each);
      else if (each.delivery.cut) cut.push(each); // buried by another, while the event is here: also where this is a second try
      else if (again.has(each)) this.done(each); // of an unanswered try: that one was executed
      else {
        each.delivery.lost = true;
        this.done(each, false);
      }
    });
    await this.orphaned(cut);
  }

  private async write(batch: Settlement[], priv: boolean, token: string): Promise<number[] | null> {
    const first = batch[0]?.decision;
    if (first?.write === "nothing") return batch.map(() => MOVED.DONE);
    if (first?.write === "ack") {
      const count = await this.group.ack(batch.map((each) => each.delivery.id), priv, token);
      return count === null ? null : batch.map(() => MOVED.DONE);
    }
    if (first?.write === "drop") {
      const entries = batch.map(({ delivery, decision }) => ({ id: delivery.id, type: decision.write === "drop" ? decision.type : "" }));
      return this.group.drop(entries, priv, token);
    }
    return this.group.move(batch.map((each) => this.copy(each)), destination(first) ?? "retry", priv, token);
  }

  /** What has no row any more: a success is done, for the work is; all else is written again without a fence. */
  private async orphaned(orphans: Settlement[]): Promise<void> {
    for (const each of orphans) {
      if (each.decision.write === "drop" || (each.decision.write === "dead-letter" && each.decision.unless)) this.hop(each);
      const to = destination(each.decision);
      if (to) await this.group.rescue([this.copy(each)], to);
      this.done(each);
    }
  }

  /** A member of the group knows what this program does not: it waits for that one. */
  private hop(each: Settlement): void {
    each.decision = hop(each.delivery.carry(), this.retry, Date.now(), Math.random());
    each.sent = false;
  }

  private done(each: Settlement, written = true): void {
    this.open.delete(each);
    this.inHand.letGo(each.delivery);
    if (!written) return;
    if (each.decision.write === "park") this.parked(each.decision.delayMs);
    if (each.decision.write === "dead-letter") {
      const type = "type" in each.ended ? each.ended.type : "";
      log("error", `entry ${each.delivery.origin} of type ${JSON.stringify(type)} is a dead letter now (${each.decision.reason})`);
    }
  }

  private copy({ delivery, ended, decision }: Settlement): Copy {
    const carried: Carried = "carried" in decision ? decision.carried : delivery.carry();
    const fields = copied(delivery, carried);
    if (decision.write === "park") return { delivery, fields, delayMs: decision.delayMs || undefined };
    if (decision.write !== "dead-letter") return { delivery, fields };
    const about = { ebreason: decision.reason, ebgroup: this.group.name, ebdeliveries: String(delivery.count), ...told(ended) };
    const written = Object.entries({ ...about, ebconsumer: this.group.consumer, ebfailed: timestamp() }).filter(([, value]) => value);
    return { delivery, fields: [...fields, ...written.flat().map((each) => Buffer.from(each))], unless: decision.unless };
  }
}

function destination(decision: Decision | undefined): Destination | undefined {
  if (decision?.write === "release") return "retry";
  if (decision?.write === "park") return decision.delayMs ? "parked" : "retry";
  return decision?.write === "dead-letter" ? "dead" : undefined;
}

/** What a dead letter tells of the error. Its own message is kept: it stays where the payload is, and out of the log. */
function told(ended: Ended): Record<string, string> {
  const type = "type" in ended ? ended.type : "";
  if (ended.how !== "raised") return { ebmessage: "why" in ended ? ended.why : "", ebtype: type };
  const { error } = ended;
  if (!(error instanceof Error)) return { eberror: typeof error, ebtype: type };
  const [name, message, stack] = [text(() => error.name), text(() => error.message), text(() => error.stack)];
  return { eberror: name || "Error", ebmessage: message.slice(0, MESSAGE), ebtraceback: stack.slice(0, TRACEBACK), ebtype: type };
}

/** What an error says of itself may be anything, and to ask may raise: then nobody's outcome would be written any more. */
function text(ask: () => unknown): string {
  try {
    const said = ask();
    return typeof said === "string" ? said : "";
  } catch {
    return "";
  }
}
