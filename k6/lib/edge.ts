// The calls of sluice's HTTP API that the scenarios make. docs/api/openapi.yaml describes them.

import http, { type RefinedResponse } from "k6/http";
import { edge } from "./tokens.ts";

/** What an edge said to a call, or that it said nothing. */
export interface Answer {
  status: number; // 0: no answer
  code: string; // of a problem document
  replayed: boolean;
  retryAfter: number; // seconds; 0: the edge did not say
  ms: number;
  sent: boolean; // false: nothing has reached the edge for certain
  body: any; // JSON, or null
}

export interface Call {
  method: string;
  path: string;
  name: string; // the path without its ids, under which k6 groups its figures
  token: string;
  key?: string; // Idempotency-Key of a write
  body?: object;
  timeout?: string;
}

export interface Reservation {
  reservation_id: string;
  sku_id: string;
  quantity: number;
  state: string;
}

export interface Item {
  sku: string;
  quantity: number;
  sale?: string;
}

// A refusal is an answer like any other. http_req_failed counts what no edge should say, and silence.
http.setResponseCallback(http.expectedStatuses({ min: 200, max: 499 }, 503));

/** Makes a call. It throws nothing, whatever comes back. */
export function ask(call: Call): Answer {
  const { url, body, params } = prepare(call);
  const start = Date.now();
  return read(http.request(call.method, url, body, params), start);
}

/** Makes the same call several times at once. */
export function askAtOnce(call: Call, times: number): Answer[] {
  const { url, body, params } = prepare(call);
  const requests = Array.from({ length: times }, () => ({ method: call.method, url, body, params }));
  const start = Date.now();
  return http.batch(requests).map((response) => read(response as RefinedResponse<"text">, start));
}

function prepare(call: Call) {
  const headers: { [name: string]: string } = { Authorization: `Bearer ${call.token}` };
  if (call.key !== undefined) {
    headers["Idempotency-Key"] = call.key;
  }
  if (call.body !== undefined) {
    headers["Content-Type"] = "application/json";
  }
  return {
    url: edge + call.path,
    body: call.body === undefined ? null : JSON.stringify(call.body),
    params: { headers, tags: { name: call.name }, timeout: call.timeout ?? "5s", redirects: 0, responseType: "text" as const },
  };
}

// k6's codes of errors before anything is sent: a bad address, names that do not resolve, connections that are not made.
const unsent = (code: number) => code === 1020 || (code >= 1100 && code < 1200) || (code >= 1210 && code < 1220) || (code >= 1300 && code < 1400);

function read(response: RefinedResponse<"text">, start: number): Answer {
  let body = null;
  try {
    body = response.status === 0 || response.body === null ? null : JSON.parse(response.body);
  } catch {
    // No JSON is no answer of an edge: it has no code.
  }
  return {
    status: response.status,
    code: body?.code ?? "",
    replayed: response.headers["Idempotent-Replayed"] === "true",
    retryAfter: Number(response.headers["Retry-After"]) || 0, // a proxy may say a date
    ms: response.status === 0 ? Date.now() - start : response.timings.duration, // a request without an answer has no timings
    sent: !(response.status === 0 && unsent(response.error_code)),
    body,
  };
}

/** Holds units for a shopper. */
export function reserve(token: string, key: string, item: Item, timeout?: string): Call {
  const body = { sku_id: item.sku, quantity: item.quantity, ...(item.sale === undefined ? {} : { sale_id: item.sale }) };
  return { method: "POST", path: "/v1/reservations", name: "/v1/reservations", token, key, body, ...(timeout === undefined ? {} : { timeout }) };
}

/** Holds several SKUs for a shopper, all or none. */
export function basket(token: string, key: string, items: Item[]): Call {
  const body = { items: items.map((item) => ({ sku_id: item.sku, quantity: item.quantity })) };
  return { method: "POST", path: "/v1/baskets", name: "/v1/baskets", token, key, body };
}

/** Confirms or releases a reservation. */
export function settle(token: string, key: string, what: "confirm" | "release", id: string): Call {
  return { method: "POST", path: `/v1/reservations/${id}/${what}`, name: `/v1/reservations/{id}/${what}`, token, key };
}

/** A call of an admin. name is the path without its ids. */
export function administer(token: string, method: string, path: string, name: string, key?: string, body?: object): Call {
  return { method, path, name, token, timeout: "30s", ...(key === undefined ? {} : { key }), ...(body === undefined ? {} : { body }) };
}
