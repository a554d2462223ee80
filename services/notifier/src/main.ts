/** `node dist/src/main.js`: consumes until SIGTERM or SIGINT, drains, and ends with 0. A second signal ends at once. */
import { Ledger } from "./ledger.js";
import { log } from "./log.js";
import { mail } from "./mail.js";
import { routes } from "./notifier.js";
import { Service } from "./service.js";
import { settings } from "./settings.js";

async function main(): Promise<void> {
  const options = settings(process.env);
  const ledger = process.env.DEMO_LEDGER ? new Ledger(process.env.DEMO_LEDGER) : undefined;
  const service = new Service(options);
  const asked = new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.once(signal, () => {
        resolve();
        process.once(signal, () => process.exit(130));
      });
    }
  });
  await service.start((priority) => routes(options.prefix, priority, mail(options.mailMs), service.publisher, ledger));
  log("info", `consuming ${options.topic} as group ${options.group}: ${service.name}`);
  await asked;
  log("info", "asked to stop: draining");
  await service.stop();
  log("info", "stopped");
}

main().then(
  () => process.exit(0), // a handler that nothing can stop must not keep the process
  (error: unknown) => {
    log("error", error instanceof Error ? error.message : "failed");
    process.exit(1);
  },
);
