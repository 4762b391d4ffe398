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
import { fast, optionsOf, seen, steady } from "./lib/options.ts";
import { done, insist, note } from "./lib/outcome.ts";
import { whole } from "./lib/settings.ts";
import { load, type Stock } from "./lib/stock.ts";
import { report, type Data } from "./lib/summary.ts";
import { shopper } from "./lib/tokens.ts";
import * as truth from "./lib/truth.ts";

const copies = whole("COPIES", 4, 2, 6); // k6 sends six requests to a host at once, unless its options say otherwise
const patience = `${whole("PATIENCE_MS", 100, 1, 60_000)}ms`;

// Clients who give up leave requests without an answer, so how many is no matter.
export const options = optionsOf({ retry_storm: steady(whole("RATE", 100, 1, 1_000_000), "20s") }, {
  checks: ["rate==1"],
  ...seen({ replayed: 1 }),
  ...fast("accepted_ms"),
});

export function setup(): Stock {
  return load(1, whole("UNITS", 1_000_000, 1, 1e9), 0, 3_600_000);
}

export default function (stock: Stock): void {
  const n = exec.scenario.iterationInTest;
  const call = (timeout?: string) => reserve(shopper(n), `${stock.run}-${n}`, { sku: stock.skus[0] as string, quantity: 1 }, timeout);
  const answers = askAtOnce(call(patience), copies);
  const outcomes = answers.map((answer) => note(answer));
  const last = insist(call());
  const ids = new Set([...answers, last.answer].map((answer) => answer.body?.reservation_id).filter((id) => id !== undefined));
  check(null, {
    "one copy at the most is accepted": () => [...outcomes, last.outcome].filter((outcome) => outcome === "accepted").length <= 1,
    "all copies get the same reservation": () => ids.size <= 1,
    "what was accepted stays accepted": () => ids.size === 0 || done(last.outcome),
  });
  if (done(last.outcome)) {
    truth.moved(1, 0);
  } else {
    truth.turned();
  }
}

export function teardown(stock: Stock): void {
  truth.judge(stock);
}

export function handleSummary(data: Data) {
  return report("retry_storm", data);
}
