/** A service that does what its events say: `node worker.js URL OPTIONS`. What it says was done before. */
import { writeSync } from "node:fs";

import type { Options } from "../src/service.js";
import { only, service, type Work } from "./support.js";

const tell = (...words: unknown[]) => writeSync(1, `${words.join(" ")}\n`);

const work: Work = async ({ name, do: what }, { attempt, signal }) => {
  tell("started", name, attempt);
  if (what === "wait") await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("stopped"))));
  if (what === "raise") throw new Error("as it was told");
  tell("ended", name);
};

const [url = "", options = "{}"] = process.argv.slice(2);
const worker = service(url, JSON.parse(options) as Partial<Options>);
process.on("SIGTERM", () => void worker.stop().then((clean) => process.exit(clean ? 0 : 1)));
await worker.start(() => only("Errand", work));
tell("ready", worker.name);
