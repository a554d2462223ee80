/** The service's settings, from the variables that the Python services read, too. Pure. */
import { fileURLToPath } from "node:url";

import { PRIORITIES, TOPIC } from "./notifier.js";
import type { Options } from "./service.js";

/** In the project; the image says where it put them. */
const LUA = fileURLToPath(new URL("../../../../eventbus/streams/lua", import.meta.url));

/** Throws where a variable is missing or wrong, and says which and what to write. */
export function settings(environment: NodeJS.ProcessEnv): Options & { prefix: string; mailMs?: number } {
  const url = environment.EVENTBUS_URL;
  if (!url) throw new Error("no Redis url: set EVENTBUS_URL, for example redis://localhost:6379");
  const seconds = (name: string, otherwise: number, least = 0): number => {
    const value = Number(environment[name] || otherwise);
    const fits = value > 0 && value >= least && value <= 3_600;
    if (!fits) throw new Error(`${name}: a number of seconds from ${least} to 3600 is expected`);
    return value * 1000;
  };
  const prefix = environment.EVENTBUS_PREFIX ?? "";
  return {
    ...{ url, prefix, service: "notifier", group: "notifier", topic: prefix + TOPIC, priorities: PRIORITIES },
    leaseMs: seconds("EVENTBUS_LEASE", 30, 1),
    claimMs: seconds("EVENTBUS_CLAIM_INTERVAL", 5),
    drainMs: seconds("EVENTBUS_DRAIN", 25),
    concurrency: 32,
    retry: { attempts: 5, backoff: [1_000, 5_000, 30_000, 120_000] },
    lua: environment.NOTIFIER_LUA || LUA,
    ...(environment.NOTIFIER_MAIL_SECONDS ? { mailMs: seconds("NOTIFIER_MAIL_SECONDS", 0) } : {}),
  };
}
