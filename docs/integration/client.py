"""Buys with sluice: client.py ORDER USER SKU QUANTITY."""
import http.client, json, os, random, sys, time, urllib.error, urllib.request

class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None  # it would carry the token elsewhere

opener = urllib.request.build_opener(NoRedirect)

def post(path, key, body=None):
    """Sends a write, with one key, until its outcome is known."""
    headers = {"Authorization": "Bearer " + os.environ["SLUICE_TOKEN"], "Idempotency-Key": key, "Content-Type": "application/json"}
    data = body and json.dumps(body).encode()
    for attempt in range(6):
        wait = random.uniform(0, 0.1 * 2**attempt)
        try:
            request = urllib.request.Request(os.environ["SLUICE_URL"] + path, data, headers, method="POST")
            with opener.open(request, timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            try:
                problem = json.load(refusal)
                if refusal.code in (404, 409, 410, 422) or not problem["retryable"]:
                    return problem
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                pass  # no edge said this
            wait += min(int(refusal.headers.get("Retry-After") or 0), 10)
        except (OSError, http.client.HTTPException, ValueError):
            pass  # cut off, too late or garbled: nobody knows what was done
        time.sleep(wait)
    return {"code": "outcome_unknown"}

def pay(order):
    """Stands for your payment provider, which takes the money of an order once."""
    return os.environ.get("PAYMENT") != "declined"

order, user, sku, quantity = sys.argv[1:]
r = post("/v1/reservations", order, {"sku_id": sku, "quantity": int(quantity), "user_id": user})
if "code" in r:
    sys.exit("not reserved: " + r["code"])  # no money was taken, and what may be held expires
if r["state"] == "held":  # else this order came here before
    path = "/v1/reservations/" + r["reservation_id"]
    if not pay(order):
        post(path + "/release", order)  # if it fails, the units are free when the reservation expires
        sys.exit("payment declined")
    r = post(path + "/confirm", order)
if r.get("code") in ("wrong_state", "unknown_reservation") or r.get("state") in ("released", "expired"):
    sys.exit("the units are gone: refund the order, if it was paid")
if "code" in r:
    sys.exit("paid, not confirmed yet: run this order again: " + r["code"])
print("confirmed", r["reservation_id"])
