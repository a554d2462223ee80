/** The demo's audit, as services/ledger.py writes it: every confirmed publish and every handled event, one line each. */
import { randomBytes } from "node:crypto";
import { openSync, writeSync } from "node:fs";
import { join } from "node:path";

import type { Envelope } from "./wire.js";

export class Ledger {
  private readonly file: number;

  constructor(directory: string) {
    this.file = openSync(join(directory, `${process.pid}-${randomBytes(4).toString("hex")}.jsonl`), "a", 0o600);
  }

  published(id: string, topic: string, type: string): void {
    this.write({ what: "published", id, topic, type });
  }

  handled({ id, type, time }: Envelope, topic: string, group: string, priority: string): void {
    const took = time === null ? 0 : Math.max(0, Date.now() - Date.parse(time)) / 1000;
    this.write({ what: "handled", id, topic, type, group, priority, took });
  }

  private write(record: Record<string, string | number>): void {
    // One unbuffered write per line: a process that is killed loses nothing it claims to have done.
    writeSync(this.file, `${JSON.stringify({ at: Date.now() / 1000, ...record })}\n`);
  }
}
