package notify

import (
	"context"
	"fmt"
	"testing"
)

// hanging is a channel that does not answer.
type hanging chan struct{}

// Send implements Sender.
func (h hanging) Send(ctx context.Context, _ Letter) error {
	h <- struct{}{}
	<-ctx.Done()
	return &Failure{Unreachable, "it hangs"}
}

// A mail server that hangs takes all slots of e-mails, and keeps back no short message.
func TestAChannelThatHangs(t *testing.T) {
	t.Parallel()
	const emails, slots = 10, 4
	mails := make(hanging, 10*emails)
	w := newWorld(t, func(o *Options) { o.Senders[Email] = mails })
	for i := range emails {
		w.mustAdd(theReset(fmt.Sprint(i)))
	}
	w.start()
	for range slots {
		<-mails
	}
	w.mustAdd(theCode("one"))
	w.await("the short message is sent", "SELECT COUNT(*) FROM notify_messages WHERE channel = 'sms' AND state = 'sent'", 1)
	if n := w.count("SELECT COUNT(*) FROM notify_messages WHERE channel = 'email' AND state = 'waiting'"); n != emails {
		t.Errorf("%d e-mails wait, want %d", n, emails)
	}
}
