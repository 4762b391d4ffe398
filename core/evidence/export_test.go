package evidence

import "time"

// SetPatience sets for how long Kafka may give nothing.
func SetPatience(e *Evidence, patience time.Duration) { e.patience = patience }
