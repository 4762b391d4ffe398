"""Buys with sluice: client.py ORDER USER SKU QUANTITY."""
import http.client, json, os, random, sys, time, urllib.request

class AsItIs(urllib.request.HTTPErrorProcessor):
    def http_response(self, request, response):
        return response  # whatever its status, and no redirect is followed: it would carry the token elsewhere
    https_response = http_response

opener = urllib.request.build_opener(AsItIs)

def post(path, key, body=None):
    """Sends a write, with one key, until its outcome is known."""
    headers = {"Authorization": "Bearer " + os.environ["SLUICE_TOKEN"], "Idempotency-Key": key, "Content-Type": "application/json"}
    data = body and json.dumps(body).encode()
    for attempt in range(6):
        wait = random.uniform(0, 0.1 * 2**attempt)
        try:
            request = urllib.request.Request(os.environ["SLUICE_URL"] + path, data, headers, method="POST")
            with opener.open(request, timeout=5) as answer:
                after, said = answer.headers.get("Retry-After", ""), json.load(answer)
            if answer.status in (200, 201) and said["state"]:
                return said
            if said["code"] and (answer.status in (404, 409, 410, 422) or not said["retryable"]):
                return said
            wait += min(int(after), 10) if after.isdecimal() else 0
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            pass  # cut off, too late, garbled, or not from an edge: nobody knows what was done
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
