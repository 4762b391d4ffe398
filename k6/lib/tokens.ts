// Tokens of shoppers, of a service and of an admin.
//
// Beside a running sluice dev nothing is to be given: .sluice/dev.json names the edge and the file of the keys, and tokens
// are signed here. Elsewhere the shoppers' tokens come from a file that sluice token --users makes (-e TOKENS=PATH), and
// the other two from SERVICE_TOKEN and ADMIN_TOKEN in the environment.

import crypto from "k6/crypto";
import encoding from "k6/encoding";
import { SharedArray } from "k6/data";
import { edgeURL, text } from "./settings.ts";

interface Key {
  kid: string;
  alg: string;
  key: string;
}

// k6 reads a relative path from the directory of a script, people from the one that they are in.
const absolute = (path: string) => (path === "" || path.startsWith("/") ? path : `${__ENV.PWD}/${path}`);

const file = absolute(text("TOKENS", ""));
const devFile = absolute(text("DEV_FILE", ".sluice/dev.json"));

const shoppers = file === "" ? [] : new SharedArray("tokens of shoppers", () => open(file).split("\n").filter((line) => line !== ""));
const dev: { edge_url: string; token_key_file: string } = file === "" ? JSON.parse(open(devFile)) : { edge_url: "", token_key_file: "" };
const key: Key | undefined = file === "" ? JSON.parse(open(dev.token_key_file)).keys[0] : undefined;
const secret = key === undefined ? "" : encoding.b64decode(key.key, "rawurl");

/** Where the edge is. */
export const edge = edgeURL(dev.edge_url);

if (file !== "" && (shoppers.length === 0 || text("SERVICE_TOKEN", "") === "" || text("ADMIN_TOKEN", "") === "")) {
  throw new Error("with -e TOKENS=PATH, a file that is not empty, give -e EDGE_URL too, and SERVICE_TOKEN and ADMIN_TOKEN in the environment");
}
if (key !== undefined && key.alg !== "HS256") {
  throw new Error(`${dev.token_key_file}: k6 cannot sign with ${key.alg}: make tokens by sluice token --users, and give -e TOKENS=PATH`);
}

const lifetime = 3600; // seconds
const firstUser = 1_000_000_000; // beside users of whom anybody has heard

/** The token of the n-th shopper, from 0 on. A file with fewer tokens gives them out again. */
export function shopper(n: number): string {
  return key === undefined ? (shoppers[n % shoppers.length] as string) : sign(String(firstUser + n), "shopper");
}

/** Whether the n-th shopper is one who has not come before. */
export const isNew = (n: number): boolean => key !== undefined || n < shoppers.length;

/** The token of a service. */
export function service(): string {
  return key === undefined ? text("SERVICE_TOKEN", "") : kept("1", "service");
}

/** The token of an admin. */
export function admin(): string {
  return key === undefined ? text("ADMIN_TOKEN", "") : kept("2", "admin");
}

const endMax = 300; // seconds for visits under way at the end, and for what teardown compares

let runSeconds = 0;

/** Says how long shoppers come. */
export function lastFor(seconds: number): void {
  runSeconds = seconds;
}

let runUsers = 1;

/** Says how many users have to differ. */
export function differ(users: number): void {
  runUsers = users;
}

/**
 * Refuses tokens that end before the run does, by their own word, or that are too few: k6 makes none anew. To be called by
 * setup, because k6 reads the script again for users that it adds in the middle of a run.
 */
export function mustDo(): void {
  if (key !== undefined) {
    return;
  }
  const needed = runSeconds + endMax;
  const tokens = { TOKENS: shoppers[0] as string, SERVICE_TOKEN: service(), ADMIN_TOKEN: admin() };
  for (const [name, token] of Object.entries(tokens)) {
    const left = endOf(token) - Date.now() / 1000;
    if (left < needed) {
      throw new Error(`${name}: good for ${Math.floor(left)} s, and the run takes up to ${needed} s: make tokens that last longer by sluice token --ttl`);
    }
  }
  if (shoppers.length < runUsers) {
    throw new Error(`TOKENS: ${shoppers.length} of them, and the run has ${runUsers} users who must differ: make more by sluice token --users`);
  }
}

// endOf returns when a token ends, in seconds since 1970. What is said in no way that is known here is left to the edge.
function endOf(token: string): number {
  try {
    const claims = JSON.parse(String.fromCharCode(...new Uint8Array(encoding.b64decode(token.split(".")[1] ?? "", "rawurl"))));
    return typeof claims.exp === "number" ? claims.exp : Infinity;
  } catch {
    return Infinity;
  }
}

const keep: { [role: string]: { token: string; until: number } } = {};

// kept signs a token anew when half of its life is over.
function kept(user: string, role: string): string {
  const have = keep[role];
  if (have !== undefined && have.until > Date.now()) {
    return have.token;
  }
  const token = sign(user, role);
  keep[role] = { token, until: Date.now() + (lifetime / 2) * 1000 };
  return token;
}

function sign(user: string, role: string): string {
  const now = Math.floor(Date.now() / 1000);
  const signed = [
    { alg: "HS256", kid: (key as Key).kid, typ: "at+jwt" },
    { iss: text("ISSUER", "sluice"), aud: text("AUDIENCE", "sluice"), sub: user, role, nbf: now - 60, exp: now + lifetime },
  ].map((value) => encoding.b64encode(JSON.stringify(value), "rawurl")).join(".");
  return `${signed}.${crypto.hmac("sha256", secret, signed, "base64rawurl")}`;
}
