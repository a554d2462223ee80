/** Publishes events of this service. */
import { ofPublish } from "./keys.js";
import { patiently, type Call } from "./line.js";
import { list } from "./replies.js";
import type { Scripts } from "./scripts.js";
import { encode, type Draft } from "./wire.js";

const REMEMBERED_MS = 86_400_000;

export interface Published {
  readonly id: string;
  readonly entry: string;
}

export class Publisher {
  constructor(
    private readonly call: Call,
    private readonly scripts: Scripts,
    private readonly patienceMs: number,
  ) {}

  /**
   * Publish an event once for its key: whoever comes with a key that was used within a day is told what was stored then.
   *
   * A reply that is lost leaves open whether the entry stands there. A bare XADD sent again would stand there twice; the
   * publish script finds its key and answers as the first time. So it is sent until it is answered, for `patienceMs`.
   */
  async once(topic: string, key: string, draft: Draft): Promise<Published> {
    const { id, fields } = encode(draft);
    const args = [id, "normal", key, REMEMBERED_MS, 0, 0, "*", ...fields];
    const answer = await patiently(() => this.scripts.run(this.call, "publish", ofPublish(topic, key), args), this.patienceMs);
    const [entry, known] = list(answer).map(String);
    return { id: known ?? id, entry: entry ?? "" };
  }
}
