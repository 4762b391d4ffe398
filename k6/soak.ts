// The load of a normal day for hours: the visits of checkout.ts at a moderate rate.
//
// It shows what only time brings out: memory that grows, outboxes that are not emptied, expiry that falls behind. So the
// last fifth of the run must be nearly as fast as the first, and the stock must be right at the end.
//
//   k6 run k6/soak.ts                           beside a running sluice dev, for an hour
//   k6 run -e RATE=500 -e DURATION=12h k6/soak.ts
//
// -e RATE     shoppers per second (50)                  -e DURATION  how long (1h)
// -e P95_MS   bound of the 95th percentile of accepted, and of its last fifth (500)
// SKUS, UNITS, CONFIRM, RELEASE, BASKETS and HOLD_S are those of checkout.ts; k6/README.md has the settings that all
// scenarios share.

import exec from "k6/execution";
import { shelves, shown, visit } from "./lib/checkout.ts";
import { fast, optionsOf, seen, steady } from "./lib/options.ts";
import { whole } from "./lib/settings.ts";
import type { Stock } from "./lib/stock.ts";
import { report, type Data } from "./lib/summary.ts";
import * as truth from "./lib/truth.ts";

export const options = optionsOf({ soak: steady(whole("RATE", 50, 1, 1_000_000), "1h") }, {
  ...shown,
  ...seen({ "accepted{fifth:0}": 1, "accepted{fifth:4}": 1 }),
  ...fast("accepted_ms{fifth:0}", "accepted_ms{fifth:4}"),
});

export function setup(): Stock {
  return shelves(60);
}

export default function (stock: Stock): void {
  visit(stock, { fifth: String(Math.min(Math.floor(exec.scenario.progress * 5), 4)) });
}

export function teardown(stock: Stock): void {
  truth.judge(stock, true);
}

export function handleSummary(data: Data) {
  return report("soak", data);
}
