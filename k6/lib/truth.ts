// Whether the stock is right after a run: what the shoppers were told must sum up to what Redis and MySQL have.
//
// k6's shoppers share nothing, and teardown sees no figures of theirs. So the sums are kept in two trends: each shopper adds
// the units that became held or sold by an answer, and teardown takes off what the stock has. An average of 0 is a sum of 0.
// In a third trend those count who left without a unit, and teardown takes off more than all if none is left for them.

import { sleep } from "k6";
import { Rate, Trend } from "k6/metrics";
import { administer, ask } from "./edge.ts";
import { admin } from "./tokens.ts";
import { must, type Stock } from "./stock.ts";

declare const console: { error(text: string): void }; // k6 has it, its types do not

const heldUnits = new Trend("truth_held_units");
const soldUnits = new Trend("truth_sold_units");
const turnedAway = new Trend("truth_turned_away");
const right = new Rate("truth");

export const thresholds = {
  truth: ["rate==1"],
  truth_held_units: ["avg==0"],
  truth_sold_units: ["avg==0"],
  truth_turned_away: ["avg<=0"],
};

/** Notes how many units became held and sold by an answer; both may be negative. */
export function moved(held: number, sold: number): void {
  heldUnits.add(held);
  soldUnits.add(sold);
}

/**
 * Notes that a shopper has left without a unit, who is to get one if there is any. Where units do not come back, nobody may
 * be turned away while one is free at the end.
 */
export function turned(): void {
  turnedAway.add(1);
}

// shoppersMax is more than the shoppers of any run: taken off, it makes the sum of the shoppers turned away negative.
const shoppersMax = 1e12;

interface Cell {
  total: number;
  avail: number;
  held: number;
  sold: number;
  frozen: boolean;
  fenced: boolean;
  breached: boolean;
}

/**
 * Compares. To be called by teardown. With abandons, holds that shoppers have left alone expire first; each was noted as moved
 * back when it was left.
 */
export function judge(stock: Stock, abandons = false): void {
  if (abandons) {
    sleep(stock.holdMS / 1000 + 2);
  }
  try {
    compare(stock);
  } catch (failure) {
    right.add(false); // k6 judges no rate that has no sample
    throw failure;
  }
}

function compare(stock: Stock): void {
  const ended = Date.now();
  let free = 0;
  for (const sku of stock.skus) {
    const cell = show(stock, sku);
    judged(`sku ${sku}: total is avail + held + sold`, cell.total === cell.avail + cell.held + cell.sold);
    judged(`sku ${sku}: total is what was loaded`, cell.total === stock.units);
    judged(`sku ${sku}: nothing is negative`, Math.min(cell.avail, cell.held, cell.sold) >= 0);
    judged(`sku ${sku}: it sells`, !cell.frozen && !cell.fenced && !cell.breached);
    moved(-cell.held, -cell.sold);
    free += cell.avail;
    const books = written(stock, sku, ended);
    judged(`sku ${sku}: MySQL has ${books.held} held units, Redis ${cell.held}`, books.held === cell.held);
    judged(`sku ${sku}: MySQL has ${books.confirmed} sold units, Redis ${cell.sold}`, books.confirmed === cell.sold);
  }
  turnedAway.add(free > 0 ? 0 : -shoppersMax);
}

function judged(what: string, ok: boolean): void {
  right.add(ok);
  if (!ok) {
    console.error(`not true: ${what}`);
  }
}

function show(stock: Stock, sku: string): Cell {
  const path = `/admin/v1/skus/${sku}${stock.sale === undefined ? "" : `?sale_id=${stock.sale}`}`;
  const answer = ask(administer(admin(), "GET", path, "/admin/v1/skus/{sku_id}"));
  must(answer, `GET ${path}`);
  return answer.body as Cell;
}

const catchUpSeconds = 60;
const pagesMax = 100_000;

// written sums up the reservations that MySQL has, once it has all of the run.
function written(stock: Stock, sku: string, ended: number): { held: number; confirmed: number } {
  const sum = { held: 0, confirmed: 0 };
  for (const state of ["held", "confirmed"] as const) {
    let cursor = "";
    for (let page = 0, waited = 0; page < pagesMax; ) {
      const filter = `sku_id=${sku}&state=${state}&limit=500${stock.sale === undefined ? "" : `&sale_id=${stock.sale}`}${cursor}`;
      const answer = ask(administer(admin(), "GET", `/admin/v1/reservations?${filter}`, "/admin/v1/reservations"));
      must(answer, `GET /admin/v1/reservations?${filter}`);
      if (Date.parse(answer.body.as_of) < ended) {
        if (waited++ > catchUpSeconds * 2) {
          throw new Error(`MySQL is behind for more than ${catchUpSeconds} s: as of ${answer.body.as_of}`);
        }
        sleep(0.5);
        continue;
      }
      for (const reservation of answer.body.data) {
        sum[state] += reservation.quantity;
      }
      if (answer.body.next_cursor === undefined) {
        break;
      }
      cursor = `&cursor=${answer.body.next_cursor}`;
      page++;
    }
  }
  return sum;
}
