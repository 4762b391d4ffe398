// What a shopper of normal stock does: reserve a unit or a small basket, then pay, give it back, or walk away.

import exec from "k6/execution";
import { check, sleep } from "k6";
import { basket, reserve, settle, type Reservation } from "./edge.ts";
import { done, settled } from "./outcome.ts";
import { part } from "./settings.ts";
import type { Stock } from "./stock.ts";
import { service, shopper } from "./tokens.ts";
import { moved } from "./truth.ts";

const baskets = part("BASKETS", 0.1);
const confirm = part("CONFIRM", 0.7);
const release = part("RELEASE", 0.2);
if (confirm + release > 1) {
  throw new Error(`-e CONFIRM=${confirm} -e RELEASE=${release}: together more than 1`);
}

/** One shopper. tags go with the figures of reserving. */
export function visit(stock: Stock, tags: { [name: string]: string }): void {
  const n = exec.scenario.iterationInTest;
  const key = `${stock.run}-${n}`;
  const token = shopper(n);
  const sku = () => stock.skus[Math.floor(Math.random() * stock.skus.length)] as string;
  const item = { sku: sku(), quantity: 1 + Math.floor(Math.random() * 3) };
  const second = { sku: sku(), quantity: 1 };
  const call = Math.random() < baskets && second.sku !== item.sku ? basket(token, key, [item, second]) : reserve(token, key, item);
  const { answer, outcome } = settled(call, tags);
  if (!done(outcome)) {
    return;
  }
  const held: Reservation[] = answer.body.reservations ?? [answer.body];
  check(held, { "what is accepted is held": (all) => all.every((r) => r.state === "held" && r.quantity > 0) });
  held.forEach((r) => moved(r.quantity, 0));
  sleep(0.05 + Math.random() * 0.2);
  const fate = Math.random();
  for (const r of held) {
    if (fate >= confirm + release) {
      moved(-r.quantity, 0); // expires by itself
    } else if (fate >= confirm) {
      if (done(settled(settle(token, key, "release", r.reservation_id), {}, "released").outcome)) {
        moved(-r.quantity, 0);
      }
    } else if (done(settled(settle(service(), key, "confirm", r.reservation_id), {}, "confirmed").outcome)) {
      moved(-r.quantity, r.quantity);
    }
  }
}
