/** Renews the leases of everything in hand every third of the lease, and finds those that were lost. */
import { Bell, now } from "./clock.js";
import type { Delivery, InHand } from "./delivery.js";
import type { Group } from "./group.js";
import { log } from "./log.js";
import type { Membership } from "./membership.js";

const PAGE = 300; // ids of one script: some 4 ms of the server's time

export class Beat {
  readonly bell = new Bell();
  private due = 0;

  constructor(
    private readonly group: Group,
    private readonly membership: Membership,
    private readonly inHand: InHand,
    private readonly leaseMs: number,
    private readonly lose: (delivery: Delivery) => void,
  ) {}

  /** Wait for the next third, renew, and say that this member lives. */
  async once(): Promise<void> {
    const begun = now();
    await this.bell.wait(Math.max(0, this.due - begun));
    const late = now() - Math.max(this.due, begun);
    if (late > this.leaseMs / 6) log("warning", `leases are renewed ${Math.round(late)} ms late: the event loop was blocked`);
    const next = now() + this.leaseMs / 3;
    const { token } = this.membership;
    if (!(await this.renew(this.group))) await this.membership.heal(token);
    await this.membership.announce();
    this.due = next; // what failed is tried again at once: a whole third later may be too late
  }

  /** Renew what has a lease; on a new connection this comes before anything else. False: the group is another one now. */
  async renew(group: Group): Promise<boolean> {
    const { token } = this.membership;
    for (const priv of [false, true]) {
      const leased = this.inHand.all().filter((each) => each.priv === priv && each.token === token && !each.lost && !each.cut);
      for (let at = 0; at < leased.length; at += PAGE) {
        const page = leased.slice(at, at + PAGE);
        const sent = now();
        const answer = await group.beat(page.map((each) => each.id), priv, token);
        if (!answer) return false;
        for (const each of page) this.take(each, answer.kept.has(each.id), answer.cut.has(each.id), sent);
      }
    }
    return true;
  }

  private take(delivery: Delivery, kept: boolean, cut: boolean, sent: number): void {
    if (kept) {
      delivery.confirmed = sent;
    } else if (cut) {
      delivery.cut = true;
      log("error", `entry ${delivery.origin} was cut from the stream while it was in hand: only this process can still handle it`);
    } else if (!delivery.settling && this.inHand.find(delivery.id, delivery.priv) === delivery) {
      delivery.lost = true;
      this.lose(delivery);
    }
  }
}
