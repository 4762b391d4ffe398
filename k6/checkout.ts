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

import { visit } from "./lib/checkout.ts";
import { thresholds } from "./lib/outcome.ts";
import { part, seconds, whole } from "./lib/settings.ts";
import { load, type Stock } from "./lib/stock.ts";
import { report, trendStats, type Data } from "./lib/summary.ts";
import * as truth from "./lib/truth.ts";

const rate = whole("RATE", 200, 1, 1_000_000);

export const options = {
  scenarios: {
    checkout: {
      executor: "constant-arrival-rate",
      rate,
      duration: `${seconds("DURATION", "30s")}s`,
      preAllocatedVUs: Math.ceil(rate / 2) + 10,
      maxVUs: rate * 5 + 10,
      gracefulStop: "60s",
    },
  },
  thresholds: {
    ...thresholds,
    ...truth.thresholds,
    checks: ["rate==1"],
    accepted_ms: [`p(95)<${whole("P95_MS", 500, 1, 600_000)}`],
    http_req_failed: [`rate<=${part("FAILED_PART", 0.01)}`],
    dropped_iterations: [`count<=${whole("DROPPED_MAX", 0, 0, 1e9)}`],
  },
  summaryTrendStats: trendStats,
  setupTimeout: "5m",
  teardownTimeout: "30m",
};

export function setup(): Stock {
  return load(whole("SKUS", 20, 1, 10_000), whole("UNITS", 1_000_000, 1, 1e9), 0, whole("HOLD_S", 20, 5, 86_400) * 1000);
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
