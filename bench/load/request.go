package load

import "strconv"

// AppendPost appends a POST of a JSON body with a bearer token and an Idempotency-Key.
func AppendPost(dst []byte, path, token, key, body string) []byte {
	return appendPost(dst, path, "sluice", token, key, body)
}

func appendPost(dst []byte, path, host, token, key, body string) []byte {
	dst = append(dst, "POST "...)
	dst = append(dst, path...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, host...)
	dst = append(dst, "\r\nAuthorization: Bearer "...)
	dst = append(dst, token...)
	dst = append(dst, "\r\nIdempotency-Key: "...)
	dst = append(dst, key...)
	dst = append(dst, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}

// AppendGet appends a GET with a bearer token.
func AppendGet(dst []byte, path, token string) []byte { return appendGet(dst, path, "sluice", token) }

func appendGet(dst []byte, path, host, token string) []byte {
	dst = append(dst, "GET "...)
	dst = append(dst, path...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, host...)
	dst = append(dst, "\r\nAuthorization: Bearer "...)
	dst = append(dst, token...)
	return append(dst, "\r\n\r\n"...)
}

// ReserveBody is the body of a reservation or deduction of so many units.
func ReserveBody(sku, quantity int64) string {
	return `{"sku_id":"` + strconv.FormatInt(sku, 10) + `","quantity":` + strconv.FormatInt(quantity, 10) + `}`
}
