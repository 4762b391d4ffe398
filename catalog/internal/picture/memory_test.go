package picture

import (
	"image"
	"runtime"
	"testing"
)

// TestMemoryOfALargePicture is not parallel: it counts what the process allocates.
func TestMemoryOfALargePicture(t *testing.T) {
	file := pngOf(t, image.NewNRGBA(image.Rect(0, 0, 5000, 5000)))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, fault := Render("image/png", file); fault != "" {
		t.Fatal(fault)
	}
	runtime.ReadMemStats(&after)
	mib := (after.TotalAlloc - before.TotalAlloc) >> 20
	t.Logf("%d MiB", mib)
	if mib > 400 {
		t.Errorf("a picture of 25 million pixels takes %d MiB in all", mib)
	}
}
