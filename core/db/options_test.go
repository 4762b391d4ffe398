package db

import (
	"strings"
	"testing"
	"time"
)

// TestOptionsOfADSN: a DSN says where the database is and who connects. Whatever else it asks for, the options are the safe ones.
func TestOptionsOfADSN(t *testing.T) {
	t.Parallel()
	m := Config{Timeout: 7 * time.Second, DSN: "root:x@tcp(localhost)/sluice?multiStatements=true&allowAllFiles=true" +
		"&allowCleartextPasswords=true&allowOldPasswords=true&allowFallbackToPlaintext=true&clientFoundRows=true" +
		"&parseTime=false&rejectReadOnly=false&checkConnLiveness=false&timeout=1h&readTimeout=1h&writeTimeout=1h&loc=Local&maxAllowedPacket=1" +
		"&compress=true&columnsWithAlias=true&interpolateParams=true&timeTruncate=24h&charset=latin1&collation=latin1_bin&sql_log_bin=0"}
	c, err := m.options()
	if err != nil {
		t.Fatal(err)
	}
	const want = "root:x@tcp(localhost:3306)/sluice?parseTime=true&readTimeout=7s&rejectReadOnly=true&timeout=2s&writeTimeout=7s&maxAllowedPacket=0"
	if got := c.FormatDSN(); got != want {
		t.Errorf("options are\n%s, want\n%s", got, want)
	}
	m.DSN = "root:x@tcp(localhost)/sluice?allowNativePasswords=false&connectionAttributes=program_name:shop&tls=true"
	const own = "allowNativePasswords=false&connectionAttributes=program_name%3Ashop&"
	if c, err = m.options(); err != nil || !strings.Contains(c.FormatDSN(), own) || c.TLS == nil || c.TLS.InsecureSkipVerify {
		t.Errorf("options of who connects are %v, %v", c, err)
	}
	m.DSN = "root:x@tcp(localhost)/sluice?strict=true"
	if _, err = m.options(); err == nil || strings.Contains(err.Error(), "root:x") {
		t.Errorf("an option over which the driver panics: %v", err)
	}
}
