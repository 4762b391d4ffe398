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
import { visit } from "./lib/checkout.ts";
import { thresholds } from "./lib/outcome.ts";
import { part, seconds, whole } from "./lib/settings.ts";
import { load, type Stock } from "./lib/stock.ts";
import { report, trendStats, type Data } from "./lib/summary.ts";
import * as truth from "./lib/truth.ts";

const rate = whole("RATE", 50, 1, 1_000_000);
const p95 = `p(95)<${whole("P95_MS", 500, 1, 600_000)}`;

export const options = {
  scenarios: {
    soak: {
      executor: "constant-arrival-rate",
      rate,
      duration: `${seconds("DURATION", "1h")}s`,
      preAllocatedVUs: Math.ceil(rate / 2) + 10,
      maxVUs: rate * 5 + 10,
      gracefulStop: "60s",
    },
  },
  thresholds: {
    ...thresholds,
    ...truth.thresholds,
    checks: ["rate==1"],
    "accepted_ms{fifth:0}": [p95],
    "accepted_ms{fifth:4}": [p95],
    http_req_failed: [`rate<=${part("FAILED_PART", 0.01)}`],
    dropped_iterations: [`count<=${whole("DROPPED_MAX", 0, 0, 1e9)}`],
  },
  summaryTrendStats: trendStats,
  setupTimeout: "5m",
  teardownTimeout: "1h",
};

export function setup(): Stock {
  return load(whole("SKUS", 20, 1, 10_000), whole("UNITS", 1_000_000, 1, 1e9), 0, whole("HOLD_S", 60, 5, 86_400) * 1000);
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
