/** The project's Lua scripts, sent by their hash; the files of eventbus/streams/lua are the ones and only. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { Refused, type Call, type Word } from "./line.js";

export class Scripts {
  private readonly known = new Map<string, { source: string; sha: string }>();

  /** All that are named are read now: a file that is missing is found at the start, not in the middle of an outage. */
  constructor(directory: string, names: readonly string[]) {
    for (const name of names) {
      const source = readFileSync(join(directory, `${name}.lua`), "utf8");
      this.known.set(name, { source, sha: createHash("sha1").update(source).digest("hex") });
    }
  }

  /** Run one. A restarted or promoted server has forgotten it and did nothing: then the text is sent, which loads it. */
  async run(call: Call, name: string, keys: readonly string[], args: readonly Word[]): Promise<unknown> {
    const script = this.known.get(name);
    if (!script) throw new Error(`script ${name} was not loaded: name it where Scripts is made`);
    try {
      return await call("EVALSHA", script.sha, keys.length, ...keys, ...args);
    } catch (error) {
      if (!(error instanceof Refused && error.code === "NOSCRIPT")) throw error;
    }
    return call("EVAL", script.source, keys.length, ...keys, ...args);
  }
}
