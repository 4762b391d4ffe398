// The stock of a run: every run makes SKUs of its own, and a sale where it needs one, so that runs do not disturb each other.

import { sleep } from "k6";
import { administer, ask, type Answer } from "./edge.ts";
import { admin, mustDo } from "./tokens.ts";

/** What setup has made. k6 hands it to every shopper and to teardown. */
export interface Stock {
  run: string; // begins every Idempotency-Key
  skus: string[];
  units: number; // of each SKU
  sale?: string;
  opensAt?: number; // ms since 1970
  holdMS: number;
}

const skuPath = "/admin/v1/skus/{sku_id}";
const salePath = "/admin/v1/sales/{sale_id}";

/** Makes SKUs with so many units each. A limit of 0 is none. It is the first that setup does, so it looks at the tokens too. */
export function load(skus: number, units: number, limit: number, holdMS: number): Stock {
  mustDo();
  const first = Date.now() * 1000;
  const stock: Stock = { run: `k6-${first.toString(36)}`, skus: [], units, holdMS };
  for (let i = 0; i < skus; i++) {
    const sku = String(first + i);
    change("PUT", `/admin/v1/skus/${sku}`, skuPath, `${stock.run}-load`, { quantity: units, reason: "k6", limit, hold_ms: holdMS });
    stock.skus.push(sku);
  }
  return stock;
}

/** Makes a sale of the whole stock that opens in so many seconds, two at the least. */
export function openSale(stock: Stock, limit: number, inSeconds: number): void {
  stock.sale = String(Math.floor(Date.now() / 1000));
  const items = stock.skus.map((sku) => ({ sku_id: sku, quantity: stock.units }));
  const path = `/admin/v1/sales/${stock.sale}`;
  change("PUT", path, salePath, `${stock.run}-sale`, { name: stock.run, items, limit, hold_ms: stock.holdMS });
  stock.opensAt = Date.now() + inSeconds * 1000;
  change("POST", `${path}/open`, `${salePath}/open`, `${stock.run}-open`, { opens_at: new Date(stock.opensAt).toISOString() });
}

function change(method: string, path: string, name: string, key: string, body: object): void {
  const call = administer(admin(), method, path, name, key, body);
  let answer = ask(call);
  for (let n = 0; n < 5 && (answer.status === 0 || answer.status >= 500); n++) {
    sleep(1);
    answer = ask(call);
  }
  must(answer, `${method} ${path}`);
}

/** Ends setup or teardown, and with it the run, where an admin's call fails. */
export function must(answer: Answer, what: string): void {
  if (answer.status !== 200 && answer.status !== 201) {
    throw new Error(`${what}: status ${answer.status} ${answer.code} ${answer.body?.detail ?? ""}`);
  }
}
