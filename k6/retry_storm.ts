// A retry storm: impatient clients send each request several times at once, give up early, and send it again.
//
// It shows that a request has one effect however often it is sent: of all copies one at the most is accepted, the others
// are replayed with the same reservation, and the units that are gone are those of the requests, not of their copies.
//
//   k6 run k6/retry_storm.ts                    beside a running sluice dev
//   k6 run -e RATE=1000 -e COPIES=6 -e PATIENCE_MS=20 k6/retry_storm.ts
//
// -e RATE         requests per second, before they are copied (100)
// -e COPIES       how often each is sent at once (4)    -e PATIENCE_MS  when a client gives up (100)
// -e DURATION     how long (20s)                        -e UNITS        units that there are (1000000)
// -e P95_MS       bound of the 95th percentile of accepted (500)
// k6/README.md has the settings that all scenarios share.

import exec from "k6/execution";
import { check } from "k6";
import { askAtOnce, reserve } from "./lib/edge.ts";
import { done, note, settled, thresholds } from "./lib/outcome.ts";
import { seconds, whole } from "./lib/settings.ts";
import { load, type Stock } from "./lib/stock.ts";
import { report, trendStats, type Data } from "./lib/summary.ts";
import { shopper } from "./lib/tokens.ts";
import * as truth from "./lib/truth.ts";

const rate = whole("RATE", 100, 1, 1_000_000);
const copies = whole("COPIES", 4, 2, 6); // k6 sends six requests to a host at once, unless its options say otherwise
const patience = `${whole("PATIENCE_MS", 100, 1, 60_000)}ms`;

export const options = {
  scenarios: {
    retry_storm: {
      executor: "constant-arrival-rate",
      rate,
      duration: `${seconds("DURATION", "20s")}s`,
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
    dropped_iterations: [`count<=${whole("DROPPED_MAX", 0, 0, 1e9)}`],
  },
  summaryTrendStats: trendStats,
  setupTimeout: "2m",
  teardownTimeout: "10m",
};

export function setup(): Stock {
  return load(1, whole("UNITS", 1_000_000, 1, 1e9), 0, 3_600_000);
}

export default function (stock: Stock): void {
  const n = exec.scenario.iterationInTest;
  const call = (timeout?: string) => reserve(shopper(n), `${stock.run}-${n}`, { sku: stock.skus[0] as string, quantity: 1 }, timeout);
  const answers = askAtOnce(call(patience), copies);
  const outcomes = answers.map((answer) => note(answer));
  const last = settled(call());
  const ids = new Set([...answers, last.answer].map((answer) => answer.body?.reservation_id).filter((id) => id !== undefined));
  check(null, {
    "one copy at the most is accepted": () => [...outcomes, last.outcome].filter((outcome) => outcome === "accepted").length <= 1,
    "all copies get the same reservation": () => ids.size <= 1,
    "what was accepted stays accepted": () => ids.size === 0 || done(last.outcome),
  });
  if (done(last.outcome)) {
    truth.moved(1, 0);
  }
}

export function teardown(stock: Stock): void {
  truth.judge(stock);
}

export function handleSummary(data: Data) {
  return report("retry_storm", data);
}
