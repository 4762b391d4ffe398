// The options of a scenario: who arrives when, and what has to hold at the end.

import type { ConstantArrivalRateScenario, Options, Scenario } from "k6/options";
import * as outcome from "./outcome.ts";
import { part, seconds, whole } from "./settings.ts";
import { trendStats } from "./summary.ts";
import { lastFor } from "./tokens.ts";
import * as truth from "./truth.ts";

/** What a threshold of k6 looks like: a metric, or one of its tags, and what must hold of it. */
export type Thresholds = { [metric: string]: string[] };

/**
 * Users for a rate: at first enough for visits of a second, and for visits of five seconds at the most. k6 drops an arrival
 * for each user that it adds later.
 */
export const users = (rate: number) => ({ preAllocatedVUs: rate + 10, maxVUs: rate * 5 + 10, gracefulStop: "60s" });

/** Arrivals at a steady rate, for the time of -e DURATION. */
export function steady(rate: number, duration: string, exec = "default"): ConstantArrivalRateScenario {
  return { executor: "constant-arrival-rate", exec, rate, duration: `${seconds("DURATION", duration)}s`, ...users(rate) };
}

/** The metrics of times must have a 95th percentile below -e P95_MS. */
export const fast = (...metrics: string[]): Thresholds =>
  Object.fromEntries(metrics.map((metric) => [metric, [`p(95)<${whole("P95_MS", 500, 1, 600_000)}`]]));

/** The counters must have counted something. A step that the settings leave out, with a part of 0, need not be seen. */
export const seen = (counters: { [metric: string]: number }): Thresholds =>
  Object.fromEntries(Object.entries(counters).filter(([, part]) => part > 0).map(([metric]) => [metric, ["count>0"]]));

/** Requests must get an answer, and one that an edge should give. */
export const answered: Thresholds = { http_req_failed: [`rate<=${part("FAILED_PART", 0.01)}`] };

// lengthOf is how long the shoppers of a scenario come, in seconds, which is the unit of all durations here.
function lengthOf(scenario: Scenario): number {
  const parts = "stages" in scenario ? scenario.stages : "duration" in scenario ? [scenario] : [];
  return parts.reduce((sum, { duration }) => sum + parseInt(duration), 0);
}

/** The options of a scenario. shown are the thresholds of what it shows, beside those that all scenarios have. */
export function optionsOf(scenarios: { [name: string]: Scenario }, shown: Thresholds): Options {
  lastFor(Math.max(...Object.values(scenarios).map(lengthOf)));
  return {
    scenarios,
    thresholds: {
      ...outcome.thresholds,
      ...truth.thresholds,
      dropped_iterations: [`count<=${whole("DROPPED_MAX", 0, 0, 1e9)}`],
      ...shown,
    },
    summaryTrendStats: trendStats,
    setupTimeout: "5m",
    teardownTimeout: "1h",
  };
}
