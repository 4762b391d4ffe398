package text

import (
	"fmt"
	"runtime"
)

// Panic tells what a program panicked with, for logs. What the runtime says has types and numbers. Anything else may have what others
// sent, so it is told by its type.
func Panic(said any) string {
	if err, ok := said.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a %T", said)
}
