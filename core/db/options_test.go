package db

import (
	"testing"
	"time"
)

// Whatever a DSN asks for, the options are the safe ones.
func TestOptionsOverruleTheDSN(t *testing.T) {
	t.Parallel()
	m := Config{Timeout: 7 * time.Second, DSN: "root:x@tcp(localhost)/sluice?multiStatements=true&allowAllFiles=true" +
		"&allowCleartextPasswords=true&allowOldPasswords=true&allowFallbackToPlaintext=true&clientFoundRows=true" +
		"&parseTime=false&rejectReadOnly=false&checkConnLiveness=false&timeout=1h&readTimeout=1h&writeTimeout=1h&loc=Local&maxAllowedPacket=1"}
	c, err := m.options()
	if err != nil {
		t.Fatal(err)
	}
	if c.MultiStatements || c.AllowAllFiles || c.AllowCleartextPasswords || c.AllowOldPasswords || c.AllowFallbackToPlaintext || c.ClientFoundRows {
		t.Errorf("an unsafe option is on: %+v", c.FormatDSN())
	}
	if !c.ParseTime || !c.RejectReadOnly || !c.CheckConnLiveness || c.Loc != time.UTC || c.MaxAllowedPacket != 0 {
		t.Errorf("a safe option is off: %+v", c.FormatDSN())
	}
	if c.Timeout != dialTimeout || c.ReadTimeout != m.Timeout || c.WriteTimeout != m.Timeout {
		t.Errorf("timeouts %v %v %v", c.Timeout, c.ReadTimeout, c.WriteTimeout)
	}
}
