// Normal checkout at a steady rate: shoppers hold a unit or a basket, then a service confirms, or they give it back, or they
// walk away and the hold expires.
//
// It shows how long each step takes at a rate that the system is meant to carry, and whether expiry, release and
// confirmation together leave the stock right.
//
//   k6 run k6/checkout.ts                       beside a running sluice dev
//   k6 run -e RATE=2000 -e DURATION=5m -e SKUS=500 k6/checkout.ts
//
// -e RATE     shoppers per second (200)                 -e DURATION  how long (30s)
// -e SKUS     SKUs that they choose from (20)           -e UNITS     units of each (1000000)
// -e CONFIRM  part that pays (0.7)                      -e RELEASE   part that gives it back (0.2)
// -e BASKETS  part that takes two SKUs (0.1)            -e HOLD_S    seconds until a hold expires (20)
// -e P95_MS   bound of the 95th percentile of accepted (500)
// k6/README.md has the settings that all scenarios share.

import { shelves, shown, visit } from "./lib/checkout.ts";
import { fast, optionsOf, steady } from "./lib/options.ts";
import { whole } from "./lib/settings.ts";
import type { Stock } from "./lib/stock.ts";
import { report, type Data } from "./lib/summary.ts";
import * as truth from "./lib/truth.ts";

export const options = optionsOf({ checkout: steady(whole("RATE", 200, 1, 1_000_000), "30s") }, { ...shown, ...fast("accepted_ms") });

export function setup(): Stock {
  return shelves(20);
}

export default function (stock: Stock): void {
  visit(stock, {});
}

export function teardown(stock: Stock): void {
  truth.judge(stock, true);
}

export function handleSummary(data: Data) {
  return report("checkout", data);
}
