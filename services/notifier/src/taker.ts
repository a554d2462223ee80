/** Takes over what stayed pending longer than the lease, and promotes parked copies that are due. One loop: both fill one room. */
import { Bell, now } from "./clock.js";
import { Delivery, type InHand } from "./delivery.js";
import type { Group } from "./group.js";
import { Refused } from "./line.js";
import { log } from "./log.js";
import type { Membership } from "./membership.js";
import { CRASHES, UNHANDLED_MS } from "./outcome.js";
import type { Reader } from "./reader.js";
import type { Claimed } from "./replies.js";
import { Sweeps } from "./sweeps.js";

const LASTS = 2; // entries at their last allowed start that a process holds: one runs, alone, and one waits for it
const TIDY_LEASES = 3; // without a heartbeat, after which a consumer that owes nothing is removed

export class Taker {
  stopping = false;
  private readonly bell = new Bell();
  private readonly sweeps: Sweeps;
  private promoteAt = now();
  private place = { priv: false, cursor: "" }; // kept from pass to pass: an entry behind many live ones is reached, too
  private began = 0;

  constructor(
    private readonly group: Group,
    private readonly membership: Membership,
    private readonly inHand: InHand,
    private readonly reader: Reader,
    private readonly settings: { readonly leaseMs: number; readonly claimMs: number },
    private readonly lasts: () => number,
    private readonly taken: (deliveries: Delivery[], first: boolean) => void,
  ) {
    this.sweeps = new Sweeps(settings.leaseMs, settings.claimMs, now());
  }

  /** Something was parked here for so long. */
  parked(delayMs: number): void {
    this.promoteAt = Math.min(this.promoteAt, now() + delayMs);
    this.bell.ring();
  }

  /** There was no answer for so long: others could not renew either. */
  waited(ms: number): void {
    this.sweeps.waited(ms, now());
  }

  stop(): void {
    this.stopping = true;
    this.bell.ring();
  }

  /** Sleep until something is due, and do it. */
  async once(): Promise<void> {
    const due = Math.max(now(), Math.min(now() + this.sweeps.delay(now()), this.promoteAt));
    await this.bell.wait(Math.max(0, due - now()));
    this.waited(now() - due); // what kept this process from looking in time (a freeze of the machine) kept others, too
    const { token } = this.membership;
    try {
      if (!this.stopping && this.promoteAt <= now()) await this.promote(token);
      if (!this.stopping && this.sweeps.delay(now()) === 0) await this.sweep();
    } catch (error) {
      if (!(error instanceof Refused && error.code === "NOGROUP")) throw error;
      await this.membership.heal(token);
    }
  }

  private async promote(token: string): Promise<void> {
    this.promoteAt = now() + this.settings.claimMs; // before the script: what is parked meanwhile comes sooner
    const sent = now();
    const { waitMs, given, settled } = await this.group.promote(this.inHand.room, UNHANDLED_MS);
    if (settled) log("error", `${settled} parked events were dropped or dead-lettered, or were gone`);
    this.take(given.map(({ id, fields }) => new Delivery(id, fields, true, token, sent, 1, true)));
    if (waitMs >= 0) this.parked(waitMs);
  }

  /** Walk both pending lists, window by window without a pause, until they end or there is no room. */
  private async sweep(): Promise<void> {
    if (!this.place.priv && !this.place.cursor) this.began = now();
    const asked = now();
    const ahead = (await this.group.clock()) - asked;
    while (!this.stopping && !this.sweeps.held(now())) {
      if (!this.inHand.room) return this.sweeps.postpone(now() + this.settings.claimMs / 10); // it goes on from here
      const { priv, cursor } = this.place;
      const lasts = { most: Math.max(0, LASTS - this.lasts()), count: CRASHES };
      const sent = now();
      // Held up on its way it must not be executed: owners could not renew meanwhile.
      const claimed = await this.group.claim(priv, cursor, this.inHand.room, lasts, sent + ahead + this.settings.leaseMs / 6);
      if (!claimed) return this.waited(this.settings.leaseMs);
      if (claimed.token !== this.membership.token) await this.membership.heal(this.membership.token);
      const entries = claimed.token ? claimed.entries : [];
      this.take(entries.map(({ id, fields, count }) => new Delivery(id, fields, priv, claimed.token, sent, count, true)));
      if (entries.length) log("warning", `${entries.length} entries of silent consumers were taken over`);
      if (claimed.cut) log("error", `${claimed.cut} entries were cut from the stream while they were pending: dead letters say so`);
      if (claimed.token) await this.reader.again(this.own(claimed, sent), priv, claimed.token);
      this.place = { priv, cursor: claimed.token ? claimed.cursor : "" };
      if (this.place.cursor) continue;
      this.place = { priv: !priv, cursor: "" };
      if (priv) return this.finish();
    }
  }

  private async finish(): Promise<void> {
    this.sweeps.done(this.began, Math.random());
    await this.group.retire(TIDY_LEASES * this.settings.leaseMs);
    for (let after = await this.group.mendDue(""); after; ) after = await this.group.mendDue(after);
  }

  /** Own entries that are stale and that no read in flight can still bring. */
  private own(claimed: Claimed, at: number): string[] {
    const since = this.reader.readingSince === undefined ? 0 : at - this.reader.readingSince;
    return claimed.own.filter(({ idleMs }) => idleMs > since).map(({ id }) => id);
  }

  private take(deliveries: Delivery[]): void {
    this.taken(deliveries.filter((each) => this.inHand.take(each, true)), true);
  }
}
