// Buys with sluice: client ORDER USER SKU QUANTITY.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"sluice/core/client"
)

func buy(ctx context.Context, edge *client.Client, order string, user, sku, quantity int64) error {
	r, err := edge.Reserve(ctx, client.Take{SKU: sku, Quantity: quantity, User: user, Key: order})
	if err != nil {
		return fmt.Errorf("not reserved: %w", err) // no money was taken, and what may be held expires
	}
	if r.State == client.StateHeld { // else this order came here before
		if err := pay(order); err != nil {
			_, _ = edge.Release(ctx, r.ID) // if it fails, the units are free when the reservation expires
			return err
		}
		r, err = edge.Confirm(ctx, r.ID)
	}
	switch code := client.CodeOf(err); {
	case code == client.CodeWrongState, code == client.CodeUnknownReservation, err == nil && r.State != client.StateConfirmed:
		return errors.New("the units are gone: refund the order, if it was paid")
	case err != nil:
		return fmt.Errorf("paid, not confirmed yet: run this order again: %w", err)
	}
	_, err = fmt.Fprintln(os.Stdout, "confirmed", r.ID)
	return err
}

// pay stands for your payment provider, which takes the money of an order once.
func pay(string) error {
	if os.Getenv("PAYMENT") == "declined" {
		return errors.New("payment declined")
	}
	return nil
}

func main() {
	token := func(context.Context) (string, error) { return os.Getenv("SLUICE_TOKEN"), nil }
	edge, err := client.New(client.Config{URL: os.Getenv("SLUICE_URL"), Token: token})
	if err != nil || len(os.Args) != 5 {
		log.Fatal("usage: client ORDER USER SKU QUANTITY, with SLUICE_URL and SLUICE_TOKEN: ", err)
	}
	var n [3]int64
	for i, text := range os.Args[2:] {
		if n[i], err = strconv.ParseInt(text, 10, 64); err != nil {
			log.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	err = buy(ctx, edge, os.Args[1], n[0], n[1], n[2])
	cancel()
	if err != nil {
		log.Fatal(err)
	}
}
