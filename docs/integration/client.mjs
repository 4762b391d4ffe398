// Buys with sluice: node client.mjs ORDER USER SKU QUANTITY.
const { SLUICE_URL, SLUICE_TOKEN, PAYMENT } = process.env;

// post sends a write, with one key, until its outcome is known.
async function post(path, key, body) {
  const request = {
    method: "POST",
    headers: { Authorization: `Bearer ${SLUICE_TOKEN}`, "Idempotency-Key": key, "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
    redirect: "error", // one would carry the token elsewhere
  };
  for (let attempt = 0; attempt < 6; attempt++) {
    let wait = Math.random() * 100 * 2 ** attempt;
    try {
      const answer = await fetch(SLUICE_URL + path, { ...request, signal: AbortSignal.timeout(5000) });
      wait += 1000 * Math.min(Number(answer.headers.get("Retry-After")) || 0, 10);
      const said = await answer.json();
      const final = [404, 409, 410, 422].includes(answer.status) || said.retryable === false;
      if (answer.ok ? said.state : said.code && final) return said; // else no edge said it, or it may help to repeat
    } catch {
      // cut off, too late or garbled: nobody knows what was done
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
  return { code: "outcome_unknown" };
}

// pay stands for your payment provider, which takes the money of an order once.
const pay = async (order) => PAYMENT !== "declined";

async function buy(order, user, sku, quantity) {
  let r = await post("/v1/reservations", order, { sku_id: sku, quantity: Number(quantity), user_id: user });
  if (r.code) throw `not reserved: ${r.code}`; // no money was taken, and what may be held expires
  if (r.state === "held") { // else this order came here before
    const path = `/v1/reservations/${r.reservation_id}`;
    if (!(await pay(order))) {
      await post(`${path}/release`, order); // if it fails, the units are free when the reservation expires
      throw "payment declined";
    }
    r = await post(`${path}/confirm`, order);
  }
  if (["wrong_state", "unknown_reservation"].includes(r.code) || ["released", "expired"].includes(r.state))
    throw "the units are gone: refund the order, if it was paid";
  if (r.code) throw `paid, not confirmed yet: run this order again: ${r.code}`;
  console.log("confirmed", r.reservation_id);
}

await buy(...process.argv.slice(2)).catch((why) => {
  console.error(String(why));
  process.exitCode = 1;
});
