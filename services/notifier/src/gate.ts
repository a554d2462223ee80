/** Decides whether a delivery may start: on a lease that is surely ours, and counted where it was handed over before. */
import { Bell, backoff, now } from "./clock.js";
import type { Delivery } from "./delivery.js";
import type { Group } from "./group.js";
import type { Membership } from "./membership.js";
import { CRASHES, type Ended } from "./outcome.js";
import { typeOf } from "./wire.js";

const LOST: Ended = { how: "lost" };

/** Whether this is the last start it is allowed: such run one at a time, so that poison spends no neighbour's budget. */
export const isLast = (delivery: Delivery) => delivery.marked && delivery.crashes === CRASHES - 1;

export class Gate {
  constructor(
    private readonly group: Group,
    private readonly membership: Membership,
    private readonly leaseMs: number,
  ) {}

  /** Wait until it may start: null, or how it ended instead. Without Redis it waits until it is asked to stop. */
  async admit(delivery: Delivery): Promise<Ended | null> {
    if (delivery.marked && delivery.crashes >= CRASHES) {
      return { how: "crashed", why: `${delivery.crashes} starts of it were lost`, type: typeOf(delivery.fields) };
    }
    for (let failures = 1, marked = !delivery.marked; ; ) {
      if (delivery.lost) return LOST;
      if (delivery.stop.signal.aborted) return { how: "stopped", why: "it never started", type: "" };
      // What only this process holds has no lease that could be confirmed, and would wait for ever.
      if (this.membership.orphaned(delivery)) return null;
      if (marked && now() - delivery.confirmed < (this.leaseMs * 2) / 3) return null;
      try {
        marked = await this.confirm(delivery, marked);
      } catch {
        await new Bell().wait(backoff(failures++, this.leaseMs / 6));
      }
    }
  }

  /** Ask once; whether its start is counted by now. */
  private async confirm(delivery: Delivery, marked: boolean): Promise<boolean> {
    const [sent, { token }] = [now(), delivery];
    const kept = marked ? await this.beat(delivery) : await this.group.mark(delivery);
    if (kept === null) await this.membership.heal(token);
    else if (kept) delivery.confirmed = sent;
    else delivery.lost = true;
    return marked || kept === true;
  }

  private async beat(delivery: Delivery): Promise<boolean | null> {
    const answer = await this.group.beat([delivery.id], delivery.priv, delivery.token);
    if (answer?.cut.has(delivery.id)) delivery.cut = true;
    return answer && (answer.kept.has(delivery.id) || delivery.cut);
  }
}
