// What a shopper of normal stock does: reserve a unit or a small basket, then pay, give it back, or walk away.

import exec from "k6/execution";
import { check, sleep } from "k6";
import { Counter } from "k6/metrics";
import { basket, reserve, settle, type Reservation } from "./edge.ts";
import { answered, seen, type Thresholds } from "./options.ts";
import { done, insist } from "./outcome.ts";
import { part, spread, whole } from "./settings.ts";
import { load, type Stock } from "./stock.ts";
import { service, shopper } from "./tokens.ts";
import { moved } from "./truth.ts";

const baskets = part("BASKETS", 0.1);
const confirm = part("CONFIRM", 0.7);
const release = part("RELEASE", 0.2);
if (confirm + release > 1) {
  throw new Error(`-e CONFIRM=${confirm} -e RELEASE=${release}: together more than 1`);
}

const basketsHeld = new Counter("baskets"); // with two SKUs or more
const abandoned = new Counter("abandoned"); // holds that are left to expire

/** What visits show: each step that the settings ask for. */
export const shown: Thresholds = {
  checks: ["rate==1"],
  ...answered,
  ...seen({ confirmed: confirm, released: release, abandoned: Math.round(1e6 * (1 - confirm - release)), baskets }),
};

/** The stock of visits. */
export function shelves(holdSeconds: number): Stock {
  const skus = whole("SKUS", 20, baskets > 0 ? 2 : 1, 10_000);
  return load(skus, whole("UNITS", 1_000_000, 1, 1e9), 0, whole("HOLD_S", holdSeconds, 5, 86_400) * 1000);
}

/** One shopper. tags go with the figures of reserving. */
export function visit(stock: Stock, tags: { [name: string]: string }): void {
  const n = exec.scenario.iterationInTest;
  const key = `${stock.run}-${n}`;
  const token = shopper(n);
  const first = Math.floor(Math.random() * stock.skus.length);
  const item = { sku: stock.skus[first] as string, quantity: 1 + Math.floor(Math.random() * 3) };
  const second = { sku: stock.skus[(first + 1) % stock.skus.length] as string, quantity: 1 };
  const call = spread(n) < baskets ? basket(token, key, [item, second]) : reserve(token, key, item);
  const { answer, outcome } = insist(call, tags);
  if (!done(outcome)) {
    return;
  }
  const held: Reservation[] = answer.body.reservations ?? [answer.body];
  check(held, { "what is accepted is held": (all) => all.every((r) => r.state === "held" && r.quantity > 0) });
  held.forEach((r) => moved(r.quantity, 0));
  if (held.length > 1) {
    basketsHeld.add(1);
  }
  sleep(0.05 + Math.random() * 0.2);
  const fate = spread(n, 1);
  for (const r of held) {
    const paid = fate < confirm && done(insist(settle(service(), key, "confirm", r.reservation_id), {}, "confirmed").outcome);
    if (fate >= confirm && fate < confirm + release) {
      insist(settle(token, key, "release", r.reservation_id), {}, "released");
    } else if (fate >= confirm) {
      abandoned.add(1);
    }
    moved(-r.quantity, paid ? r.quantity : 0); // what is neither paid nor released expires
  }
}
