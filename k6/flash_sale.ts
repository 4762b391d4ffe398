// A flash sale: shoppers gather before it opens, all press buy in its first second, and late ones go on coming.
//
// It shows how fast those are answered who get a unit and those who do not, whether all units get sold if as many shoppers
// come, and no more, and whether the answers, Redis and MySQL agree about them.
//
//   k6 run k6/flash_sale.ts                     beside a running sluice dev
//   k6 run -e RATE=5000 -e UNITS=20000 -e DURATION=1m k6/flash_sale.ts
//
// -e RATE     shoppers per second at the peak (500)     -e DURATION  length of the peak (20s)
// -e UNITS    units in the sale (2000)                  -e CONFIRM   part of the winners who pay (0.9)
// -e LIMIT    units per shopper (1)                     -e P95_MS    bound of the 95th percentile of accepted (500)
// k6/README.md has the settings that all scenarios share.

import exec from "k6/execution";
import { sleep } from "k6";
import { reserve, settle } from "./lib/edge.ts";
import { answered, fast, optionsOf, seen, users } from "./lib/options.ts";
import { done, insist } from "./lib/outcome.ts";
import { part, seconds, spread, whole } from "./lib/settings.ts";
import { load, openSale, type Stock } from "./lib/stock.ts";
import { report, type Data } from "./lib/summary.ts";
import { isNew, service, shopper } from "./lib/tokens.ts";
import * as truth from "./lib/truth.ts";

const rate = whole("RATE", 500, 1, 1_000_000);
const units = whole("UNITS", 2000, 1, 1_000_000);
const limit = whole("LIMIT", 1, 1, 1_000_000);
const duration = seconds("DURATION", "20s");
const confirm = part("CONFIRM", 0.9);

const gather = 3; // seconds before the opening

export const options = optionsOf({
  flash_sale: {
    executor: "ramping-arrival-rate",
    startRate: 1,
    stages: [
      { duration: `${gather}s`, target: Math.ceil(rate / 10) },
      { duration: "1s", target: rate },
      { duration: `${duration}s`, target: rate },
      { duration: `${Math.ceil(duration / 4)}s`, target: Math.ceil(rate / 20) },
    ],
    ...users(rate),
  },
}, { ...answered, ...seen({ confirmed: confirm }), ...fast("accepted_ms") });

export function setup(): Stock {
  const stock = load(1, units, 0, 3_600_000);
  openSale(stock, limit, gather);
  return stock;
}

export default function (stock: Stock): void {
  const n = exec.scenario.iterationInTest;
  const key = `${stock.run}-${n}`;
  const item = { sku: stock.skus[0] as string, quantity: 1, sale: stock.sale as string };
  const { answer, outcome } = insist(reserve(shopper(n), key, item));
  if (!done(outcome)) {
    if (outcome !== "limited" || isNew(n)) {
      truth.turned();
    }
    return;
  }
  truth.moved(1, 0);
  if (spread(n) < confirm) {
    sleep(Math.random()); // pays
    const paid = insist(settle(service(), key, "confirm", answer.body.reservation_id), {}, "confirmed");
    if (done(paid.outcome)) {
      truth.moved(-1, 1);
    }
  }
}

export function teardown(stock: Stock): void {
  truth.judge(stock);
}

export function handleSummary(data: Data) {
  return report("flash_sale", data);
}
