/** Time as this process sees it, waits that can be ended, and loops that survive. */
import { log } from "./log.js";

/** Milliseconds that never go back. */
export const now = () => performance.now();

const LONGEST_MS = 60_000;

/** Somebody waits, others ring. A ring while nobody waits ends the next wait at once. */
export class Bell {
  private rung = false;
  private wake: () => void = () => undefined;

  readonly ring = (): void => {
    this.rung = true;
    this.wake();
  };

  async wait(ms = LONGEST_MS): Promise<void> {
    if (!this.rung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(ms, LONGEST_MS));
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.rung = false;
  }
}

/** Milliseconds after so many failures in a row: they double, and are shortened by chance, so that a fleet spreads out. */
export function backoff(failures: number, mostMs: number, chance = Math.random()): number {
  return Math.min(mostMs, 100 * 2 ** Math.min(failures - 1, 20)) * (0.5 + chance / 2);
}

/** Do something again and again until it is enough; what fails is logged, once in a row, and tried again after a while. */
export async function keep(what: string, enough: () => boolean, once: () => Promise<void>, bell: Bell, mostMs: number): Promise<void> {
  let failures = 0;
  while (!enough()) {
    try {
      await once();
      if (failures) log("info", `${what}: goes on`);
      failures = 0;
    } catch (error) {
      failures += 1;
      if (failures === 1) log("warning", `${what}: ${error instanceof Error ? error.message : "failed"}; it is tried again`);
      await bell.wait(backoff(failures, mostMs));
    }
  }
}
