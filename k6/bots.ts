// Bots in a crowd: a few users ask again and again with new keys, far more often than all shoppers together.
//
// It shows what the limit per user is worth: a bot owns no more units than a shopper, shoppers are answered as fast as
// without bots, and no unit is lost between them.
//
//   k6 run k6/bots.ts                           beside a running sluice dev
//   k6 run -e BOT_RATE=5000 -e BOTS=50 k6/bots.ts
//
// -e RATE      shoppers per second (100)                -e BOT_RATE  requests of bots per second (400)
// -e BOTS      users that are bots (20)                 -e LIMIT     units per user (2)
// -e UNITS     units that there are (1000000)           -e DURATION  how long (20s)
// -e P95_MS    bound of the 95th percentile of the shoppers' accepted requests (500)
// -e TOKENS    has BOTS + RATE * DURATION tokens: each shopper is somebody else
// k6/README.md has the settings that all scenarios share.

import exec from "k6/execution";
import { Counter } from "k6/metrics";
import { reserve } from "./lib/edge.ts";
import { answered, fast, optionsOf, seen, steady } from "./lib/options.ts";
import { done, insist } from "./lib/outcome.ts";
import { seconds, whole } from "./lib/settings.ts";
import { load, type Stock } from "./lib/stock.ts";
import { report, type Data } from "./lib/summary.ts";
import { differ, shopper } from "./lib/tokens.ts";
import * as truth from "./lib/truth.ts";

const bots = whole("BOTS", 20, 1, 100_000);
const limit = whole("LIMIT", 2, 1, 1_000_000);
const botRate = whole("BOT_RATE", 400, 1, 1_000_000);
const rate = whole("RATE", 100, 1, 1_000_000);
const duration = "20s";
const length = seconds("DURATION", duration);
if (botRate * length <= bots * limit) {
  throw new Error(`-e BOT_RATE=${botRate}: too few requests for ${bots} bots to reach their limit of ${limit} units: raise it, or DURATION`);
}
differ(bots + rate * length); // a shopper with the token of another would be limited by what that one has

const botUnits = new Counter("bot_units");
const shopperUnits = new Counter("shopper_units");

export const options = optionsOf({
  shoppers: steady(rate, duration, "buy"),
  bots: steady(botRate, duration, "bot"),
}, {
  ...answered,
  ...seen({ shopper_units: 1, "limited{who:bot}": 1 }),
  bot_units: [`count<=${bots * limit}`],
  "limited{who:shopper}": ["count==0"],
  ...fast("accepted_ms{who:shopper}"),
});

export function setup(): Stock {
  return load(1, whole("UNITS", 1_000_000, 1, 1e9), limit, 3_600_000);
}

// Bots are the first users, shoppers all others.
export function bot(stock: Stock): void {
  const n = exec.scenario.iterationInTest;
  take(stock, "bot", n % bots, n, botUnits);
}

export function buy(stock: Stock): void {
  const n = exec.scenario.iterationInTest;
  take(stock, "shopper", bots + n, n, shopperUnits);
}

function take(stock: Stock, who: string, user: number, n: number, units: Counter): void {
  const { outcome } = insist(reserve(shopper(user), `${stock.run}-${who}-${n}`, { sku: stock.skus[0] as string, quantity: 1 }), { who });
  if (done(outcome)) {
    units.add(1);
    truth.moved(1, 0);
  } else if (who === "shopper") {
    truth.turned();
  }
}

export function teardown(stock: Stock): void {
  truth.judge(stock);
}

export function handleSummary(data: Data) {
  return report("bots", data);
}
