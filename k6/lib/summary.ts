// The report of a run: a text for the terminal, and with -e OUT=DIR files SCENARIO.json and SCENARIO.html in that directory.

import { words } from "./outcome.ts";
import { text } from "./settings.ts";

interface Metric {
  type: string;
  contains: string;
  values: { [name: string]: number };
  thresholds?: { [expression: string]: { ok: boolean } };
}

/** What k6 gives to handleSummary, as far as it is used here. */
export interface Data {
  metrics: { [name: string]: Metric };
  state: { testRunDurationMs: number };
}

/** Statistics of each trend, for the options of a scenario. */
export const trendStats = ["avg", "min", "med", "p(95)", "p(99)", "max"];

/** Makes the report. */
export function report(scenario: string, data: Data): { [where: string]: string } {
  const rows = outcomes(data);
  const judged = thresholds(data);
  const written: { [where: string]: string } = { stdout: plain(scenario, data, rows, judged) };
  const out = text("OUT", "");
  if (out !== "") {
    written[`${out}/${scenario}.json`] = JSON.stringify({ scenario, ...data }, null, 2);
    written[`${out}/${scenario}.html`] = page(scenario, data, rows, judged);
  }
  return written;
}

interface Row {
  word: string;
  count: number;
  rate: number;
  ms: { [stat: string]: number };
}

function outcomes(data: Data): Row[] {
  return words.map((word) => ({
    word,
    count: data.metrics[word]?.values["count"] ?? 0,
    rate: data.metrics[word]?.values["rate"] ?? 0,
    ms: data.metrics[`${word}_ms`]?.values ?? {},
  }));
}

interface Judged {
  metric: string;
  expression: string;
  ok: boolean;
}

function thresholds(data: Data): Judged[] {
  return Object.entries(data.metrics)
    .flatMap(([metric, m]) => Object.entries(m.thresholds ?? {}).map(([expression, { ok }]) => ({ metric, expression, ok })))
    .sort((a, b) => Number(a.ok) - Number(b.ok) || (a.metric < b.metric ? -1 : 1));
}

const columns = ["med", "p(95)", "p(99)", "max"];

const number = (value: number | undefined, digits: number) => (value === undefined ? "-" : value.toFixed(digits));

function plain(scenario: string, data: Data, rows: Row[], judged: Judged[]): string {
  const line = (cells: string[]) => `  ${(cells[0] ?? "").padEnd(10)}${cells.slice(1).map((c) => c.padStart(11)).join("")}\n`;
  let out = `\n${scenario}, ${number(data.state.testRunDurationMs / 1000, 1)} s\n\n`;
  out += line(["outcome", "count", "per second", ...columns.map((c) => `${c} ms`)]);
  for (const row of rows.filter((r) => r.count > 0)) {
    out += line([row.word, String(row.count), number(row.rate, 1), ...columns.map((c) => number(row.ms[c], 2))]);
  }
  out += "\n";
  for (const { metric, expression, ok } of judged) {
    out += `  ${ok ? "ok    " : "FAILED"}  ${metric}: ${expression}\n`;
  }
  return `${out}\n`;
}

const escape = (s: string) => s.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const colour: { [word: string]: string } = {
  accepted: "#2f9e44", replayed: "#74b816", confirmed: "#087f5b", released: "#63e6be", sold_out: "#868e96", limited: "#1971c2", early: "#66d9e8", shed: "#f08c00", unknown: "#9c36b5", refused: "#e03131",
};

// scroll makes a table with a caption, in a frame that one can scroll by keyboard where the screen is narrow.
function scroll(caption: string, table: string): string {
  return `<div class="scroll" tabindex="0" role="region" aria-label="${caption}">${table.replace(/^<table[^>]*>/, (tag) => `${tag}<caption>${caption}</caption>`)}</table></div>`;
}

function page(scenario: string, data: Data, rows: Row[], judged: Judged[]): string {
  const total = Math.max(rows.reduce((sum, row) => sum + row.count, 0), 1);
  const cells = (list: string[]) => list.map((c) => `<td>${escape(c)}</td>`).join("");
  const present = rows.filter((row) => row.count > 0);
  const bar = present.map((row) => `<span title="${row.word}" style="width:${(100 * row.count) / total}%;background:${colour[row.word]}"></span>`).join("");
  const table = present.map((row) => `<tr><th scope="row"><i style="background:${colour[row.word]}"></i>${row.word}</th>${cells([
    String(row.count), number(row.rate, 1), ...columns.map((c) => number(row.ms[c], 2)),
  ])}</tr>`).join("\n");
  const others = Object.entries(data.metrics).filter(([name]) => !words.some((w) => name === w || name === `${w}_ms`)).sort()
    .map(([name, m]) => `<tr><th scope="row">${escape(name)}</th>${cells([Object.entries(m.values).map(([k, v]) => `${k} ${Number(v.toFixed(3))}`).join("  ")])}</tr>`).join("\n");
  const verdict = judged.every((j) => j.ok) ? "all thresholds hold" : "thresholds failed";
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escape(scenario)}</title>
<style>
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #8884; text-align: right } th:first-child { text-align: left }
table.wide td { text-align: left }
i { display: inline-block; width: .8em; height: .8em; margin-right: .5em } .bar { display: flex; height: 1.5rem } .bad { color: light-dark(#c92a2a, #ff8787); font-weight: bold }
caption { text-align: left; padding: .25rem .6rem } .scroll { overflow-x: auto }
</style></head><body><main>
<h1>${escape(scenario)}</h1>
<p>${number(data.state.testRunDurationMs / 1000, 1)} s, ${total} answers, <span${verdict === "thresholds failed" ? ' class="bad"' : ""}>${verdict}</span></p>
<div class="bar" aria-hidden="true">${bar}</div>
${scroll("Answers by their outcome", `<table><thead><tr>${["outcome", "count", "per second", ...columns.map((c) => `${c} ms`)].map((c) => `<th scope="col">${escape(c)}</th>`).join("")}</tr></thead>
${table}`)}
<h2>Thresholds</h2>
${scroll("What had to hold, and whether it does", `<table class="wide">${judged.map((j) => `<tr${j.ok ? "" : ' class="bad"'}><th scope="row">${escape(j.metric)}</th>${cells([j.expression, j.ok ? "ok" : "failed"])}</tr>`).join("\n")}`)}
<h2>Other figures</h2>
${scroll("All other metrics", `<table class="wide">${others}`)}
</main></body></html>
`;
}
