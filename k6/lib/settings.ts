// Settings of a run, given by -e NAME=VALUE. A value that makes no sense ends the run before anything is sent.

/** The value of a setting, or its default. */
export function text(name: string, fallback: string): string {
  const value = __ENV[name];
  return value === undefined || value === "" ? fallback : value;
}

/** A whole number between two bounds. */
export function whole(name: string, fallback: number, low: number, high: number): number {
  const word = text(name, String(fallback));
  const value = Number(word);
  if (!/^[0-9]+$/.test(word) || value < low || value > high) {
    throw new Error(`-e ${name}=${word}: want a whole number, ${low} to ${high}`);
  }
  return value;
}

/** A part of a whole, from 0 to 1. */
export function part(name: string, fallback: number): number {
  const word = text(name, String(fallback));
  const value = Number(word);
  if (!/^[0-9.]+$/.test(word) || !(value >= 0 && value <= 1)) {
    throw new Error(`-e ${name}=${word}: want a number, 0 to 1`);
  }
  return value;
}

/** A duration in whole seconds or minutes or hours, such as 30s, 10m or 2h; in seconds. */
export function seconds(name: string, fallback: string): number {
  const word = text(name, fallback);
  const found = /^([0-9]{1,6})(s|m|h)$/.exec(word);
  const value = found === null ? 0 : Number(found[1]) * { s: 1, m: 60, h: 3600 }[found[2] as "s" | "m" | "h"];
  if (value < 1) {
    throw new Error(`-e ${name}=${word}: want a duration such as 30s, 10m or 2h`);
  }
  return value;
}

/**
 * Spreads 0, 1, 2 and so on evenly over 0 to 1, each time again. So a part of a few visits is nearly exact, which a part by
 * chance is not. Numbers of two ways are spread independently.
 */
export const spread = (n: number, way: 0 | 1 = 0): number => (n * ([0.7548776662466927, 0.5698402909980532][way] as number)) % 1;

/** The address of an edge. One that is not on this machine is loaded only if its owner says so. */
export function edgeURL(fallback: string): string {
  const url = text("EDGE_URL", fallback);
  const found = /^https?:\/\/(\[[0-9a-fA-F:]+\]|[^/:@?#]+)(:[0-9]+)?$/.exec(url);
  if (found === null) {
    throw new Error(`-e EDGE_URL=${url}: want the address of an edge, such as http://127.0.0.1:8090`);
  }
  const host = found[1] as string;
  if (!/^(localhost|127\.[0-9.]+|\[::1\])$/.test(host) && text("I_MAY_LOAD", "") !== host) {
    throw new Error(`${host} is not this machine: if you may load it, add -e I_MAY_LOAD=${host}`);
  }
  return url;
}
