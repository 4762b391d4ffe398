// What became of each request, counted and timed apart, in the words of sluice. sluice bench counts the same in them.

import { Counter, Trend } from "k6/metrics";
import { sleep } from "k6";
import { ask, type Answer, type Call } from "./edge.ts";
import { whole } from "./settings.ts";

export const words = ["accepted", "replayed", "confirmed", "released", "sold_out", "limited", "early", "shed", "unknown", "refused"] as const;

/**
 * - accepted, replayed: done now, or by an earlier request with the same key
 * - confirmed, released: the same of a reservation that is settled
 * - sold_out
 * - limited: the shopper has all that one may have, or asks too often
 * - early: the sale is not open, for which sluice bench has no word
 * - shed: 503 of an edge, so that nothing was done; the same request may succeed later
 * - unknown: nobody can tell until the same request, with the same key, gets an answer
 * - refused: for any other reason
 */
export type Outcome = (typeof words)[number];

const count = Object.fromEntries(words.map((word) => [word, new Counter(word)])) as Record<Outcome, Counter>;
const time = Object.fromEntries(words.map((word) => [word, new Trend(`${word}_ms`, true)])) as Record<Outcome, Trend>;
const unsettled = new Counter("unsettled");

export function outcomeOf(answer: Answer): Outcome {
  if (answer.status >= 200 && answer.status < 300) {
    return answer.replayed ? "replayed" : "accepted";
  }
  if (answer.status === 429) {
    return "limited";
  }
  if (answer.status === 503 && answer.code !== "") {
    return "shed";
  }
  switch (answer.code) {
    case "sold_out":
      return "sold_out";
    case "limit_reached":
      return "limited";
    case "not_open":
      return "early";
  }
  // No answer, 504, and a server that stumbled over the request: it may have been done.
  return answer.sent && (answer.status === 0 || answer.status >= 500) ? "unknown" : "refused";
}

/** Counts an answer, and returns what it means. What is done counts under another word where one is given. */
export function note(answer: Answer, tags?: { [name: string]: string }, word?: "confirmed" | "released"): Outcome {
  let outcome = outcomeOf(answer);
  if (word !== undefined && done(outcome)) {
    outcome = word;
  }
  count[outcome].add(1, tags);
  time[outcome].add(answer.ms, tags);
  return outcome;
}

const triesMax = whole("TRIES", 8, 1, 100);

/**
 * Makes a call, and repeats it with its key until its outcome is known. A request whose outcome stays unknown is counted
 * as unsettled: then no sum can be right.
 */
export function settled(call: Call, tags?: { [name: string]: string }, word?: "confirmed" | "released"): { answer: Answer; outcome: Outcome } {
  let answer = ask(call);
  let outcome = note(answer, tags, word);
  for (let n = 1; outcome === "unknown" && n < triesMax; n++) {
    sleep(Math.min(0.1 * 2 ** n, 2) * (0.5 + Math.random()));
    answer = ask(call);
    outcome = note(answer, tags, word);
    if (outcome === "shed" || answer.status === 429) {
      outcome = "unknown"; // a repetition that is turned away tells nothing of the first attempt
    }
  }
  if (outcome === "unknown") {
    unsettled.add(1);
  }
  return { answer, outcome };
}

export const done = (outcome: Outcome): boolean => ["accepted", "replayed", "confirmed", "released"].includes(outcome);

/**
 * Makes a call as settled does, and once more where the edge says to come back: patiently before a sale opens, and three times
 * if there was no capacity, or too much was asked.
 */
export function insist(call: Call, tags?: { [name: string]: string }, word?: "confirmed" | "released"): { answer: Answer; outcome: Outcome } {
  let { answer, outcome } = settled(call, tags, word);
  for (let n = 0; n < (outcome === "early" ? 20 : outcome === "shed" || (outcome === "limited" && answer.status === 429) ? 3 : 0); n++) {
    sleep(Math.max(answer.retryAfter, 0.2) * (0.8 + 0.4 * Math.random()));
    ({ answer, outcome } = settled(call, tags, word));
  }
  return { answer, outcome };
}

/** Thresholds that every scenario has. */
export const thresholds = {
  accepted: ["count>0"],
  refused: ["count==0"],
  unsettled: ["count==0"],
};
