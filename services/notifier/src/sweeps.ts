/** When to look for stale entries. Pure: time comes from outside, in milliseconds. */

/**
 * After a start, and after an outage, owners get a third of the lease to renew what they hold: everything looks stale
 * then. All the graces between two sweeps that came to their end last no longer than one lease together, so that a link
 * that goes up and down cannot keep a sweep off.
 */
export class Sweeps {
  private due: number;
  private spent = 0;
  private heldFrom = 0;
  private heldUntil = 0;

  constructor(
    private readonly leaseMs: number,
    private readonly everyMs: number,
    now: number,
  ) {
    this.due = now;
    this.hold(now);
  }

  /** There was no answer for so long, and now there is one. */
  waited(ms: number, now: number): void {
    if (ms <= this.leaseMs / 3) return;
    // Of a grace that ran before, only what lay before the outage was of use to the owners.
    this.spent += Math.max(0, Math.min(this.heldUntil, now - ms) - this.heldFrom);
    this.hold(now);
  }

  /** A sweep that began then came to its end; chance, from 0 to 1, keeps members of a group from sweeping at one moment. */
  done(began: number, chance: number): void {
    this.spent = 0;
    this.heldFrom = this.heldUntil; // what was given before does not count again
    this.due = began + this.everyMs * (1 - 0.2 * chance);
  }

  /** The sweep could not come to its end: it goes on then. */
  postpone(until: number): void {
    this.due = until;
  }

  /** Milliseconds until a sweep may begin. */
  delay(now: number): number {
    return Math.max(0, this.due - now, this.heldUntil - now);
  }

  /** Whether owners have their grace now. */
  held(now: number): boolean {
    return now < this.heldUntil;
  }

  private hold(now: number): void {
    this.heldFrom = now;
    this.heldUntil = now + Math.min(this.leaseMs / 3, Math.max(0, this.leaseMs - this.spent));
  }
}
