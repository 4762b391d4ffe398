package picture

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"testing"
)

// corners is a picture of a width and a height whose four corners have colours of their own: red, green, blue and black.
func corners(width, height int) *image.NRGBA {
	of := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			c := color.NRGBA{A: 255}
			switch {
			case x < width/2 && y < height/2:
				c.R = 255
			case y < height/2:
				c.G = 255
			case x < width/2:
				c.B = 255
			}
			of.SetNRGBA(x, y, c)
		}
	}
	return of
}

func pngOf(t *testing.T, of image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, of); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func jpegOf(t *testing.T, of image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, of, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// exif puts an orientation into a JPEG file, and a text that nobody may get.
func exif(file []byte, order binary.AppendByteOrder, orientation uint16) []byte {
	tiff := []byte("MM\x00*")
	if order == binary.AppendByteOrder(binary.LittleEndian) {
		tiff = []byte("II*\x00")
	}
	tiff = order.AppendUint32(tiff, 8)
	tiff = order.AppendUint16(tiff, 2)
	tiff = append(order.AppendUint32(order.AppendUint16(order.AppendUint16(tiff, 0x010F), 2), 4), "here"...)
	tiff = order.AppendUint16(order.AppendUint32(order.AppendUint16(order.AppendUint16(tiff, 0x0112), 3), 1), orientation)
	segment := append([]byte("Exif\x00\x00"), append(tiff, 0, 0)...)
	head := binary.BigEndian.AppendUint16([]byte{0xFF, 0xD8, 0xFF, 0xE1}, uint16(len(segment)+2))
	return append(append(head, segment...), file[2:]...)
}

// at names the colour of a corner of a rendition.
func at(t *testing.T, r Rendition, x, y int) string {
	t.Helper()
	of, err := jpeg.Decode(bytes.NewReader(r.Body))
	if err != nil || of.Bounds().Dx() != r.Width || of.Bounds().Dy() != r.Height {
		t.Fatalf("a rendition of %d to %d is %v, %v", r.Width, r.Height, of.Bounds(), err)
	}
	red, green, blue, _ := of.At(x*(r.Width-1), y*(r.Height-1)).RGBA()
	switch {
	case red > 0xC000 && green > 0xC000 && blue > 0xC000:
		return "white"
	case red > 0xC000:
		return "red"
	case green > 0xC000:
		return "green"
	case blue > 0xC000:
		return "blue"
	}
	return "black"
}

func TestRenditions(t *testing.T) {
	t.Parallel()
	f := func(what, mediaType string, file []byte, largeW, largeH, smallW, smallH int) {
		t.Helper()
		r, fault := Render(mediaType, file)
		if fault != "" {
			t.Fatal(what, fault)
		}
		if r.Large.Width != largeW || r.Large.Height != largeH || r.Small.Width != smallW || r.Small.Height != smallH {
			t.Errorf("%s: %dx%d and %dx%d", what, r.Large.Width, r.Large.Height, r.Small.Width, r.Small.Height)
		}
		for _, one := range []Rendition{r.Large, r.Small} {
			if one.Height > 1 && (at(t, one, 0, 0) != "red" || at(t, one, 1, 1) != "black") {
				t.Errorf("%s has lost its colours", what)
			}
		}
	}
	f("a small one", "image/png", pngOf(t, corners(100, 50)), 100, 50, 100, 50)
	f("a large one", "image/jpeg", jpegOf(t, corners(4096, 2048)), 2048, 1024, 320, 160)
	f("a thin one", "image/png", pngOf(t, corners(5000, 2)), 2048, 1, 320, 1)
	through, fault := Render("image/png", pngOf(t, image.NewNRGBA(image.Rect(0, 0, 9, 9))))
	if fault != "" || at(t, through.Large, 0, 0) != "white" {
		t.Errorf("a clear one, %s", fault)
	}
	const pixel = "UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA"
	file, err := base64.StdEncoding.DecodeString(pixel)
	if err != nil {
		t.Fatal(err)
	}
	if r, fault := Render("image/webp", file); fault != "" || r.Large.Width != 1 {
		t.Errorf("WebP: %+v, %s", r, fault)
	}
}

// A camera that was held otherwise says so: the corners are where they were in the world. Nothing else of what it says is kept.
func TestOrientations(t *testing.T) {
	t.Parallel()
	file := jpegOf(t, corners(96, 48))
	for orientation, want := range map[uint16][4]string{ // the corners at the top and at the bottom, each from the left
		0: {"red", "green", "blue", "black"},
		1: {"red", "green", "blue", "black"},
		2: {"green", "red", "black", "blue"},
		3: {"black", "blue", "green", "red"},
		4: {"blue", "black", "red", "green"},
		5: {"red", "blue", "green", "black"},
		6: {"blue", "red", "black", "green"},
		7: {"black", "green", "blue", "red"},
		8: {"green", "black", "red", "blue"},
		9: {"red", "green", "blue", "black"},
	} {
		for _, order := range []binary.AppendByteOrder{binary.BigEndian, binary.LittleEndian} {
			r, fault := Render("image/jpeg", exif(file, order, orientation))
			if fault != "" {
				t.Fatal(orientation, fault)
			}
			got := [4]string{at(t, r.Large, 0, 0), at(t, r.Large, 1, 0), at(t, r.Large, 0, 1), at(t, r.Large, 1, 1)}
			if got != want {
				t.Errorf("orientation %d is %v, want %v", orientation, got, want)
			}
			if bytes.Contains(r.Large.Body, []byte("Exif")) || bytes.Contains(r.Small.Body, []byte("Exif")) {
				t.Errorf("orientation %d: the renditions have Exif", orientation)
			}
		}
	}
}

// said is a PNG file that says that it has a size, and has no pixels.
func said(width, height uint32, depth byte) []byte {
	chunk := []byte("IHDR")
	chunk = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(chunk, width), height)
	chunk = append(chunk, depth, 2, 0, 0, 0)
	file := append([]byte("\x89PNG\r\n\x1a\n"), 0, 0, 0, 13)
	return binary.BigEndian.AppendUint32(append(file, chunk...), crc32.ChecksumIEEE(chunk))
}

// What is no picture, and what would take too much to decode, is refused before it is.
func TestWhatIsNoPicture(t *testing.T) {
	t.Parallel()
	whole := jpegOf(t, corners(64, 64))
	f := func(what, mediaType string, file []byte, want Fault) {
		t.Helper()
		if _, fault := Render(mediaType, file); fault != want {
			t.Errorf("%s is %q, want %q", what, fault, want)
		}
	}
	f("a bomb", "image/png", said(100_000, 100_000, 8), FaultDimensions)
	f("a bomb beyond all numbers", "image/png", said(1<<31-1, 1<<31-1, 8), FaultDamaged)
	f("a long side", "image/png", said(10_001, 1, 8), FaultDimensions)
	f("many pixels", "image/png", said(5001, 5000, 8), FaultDimensions)
	f("many deep pixels", "image/png", said(5000, 2501, 16), FaultDimensions)
	f("nothing behind it", "image/png", said(5000, 2500, 16), FaultDamaged)
	f("no size", "image/png", said(0, 1, 8), FaultDamaged)
	f("many scans", "image/jpeg", append(bytes.Clone(whole), bytes.Repeat([]byte{0xFF, 0xDA}, 101)...), FaultDimensions)
	f("another type", "image/png", whole, FaultType)
	f("SVG", "image/svg+xml", []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), FaultType)
	f("a page", "image/jpeg", []byte("<!doctype html><script>alert(1)</script>"), FaultType)
	f("a document", "image/png", []byte("%PDF-1.7"), FaultType)
	f("an animation", "image/gif", []byte("GIF89a"), FaultType)
	f("nothing", "image/webp", nil, FaultType)
	f("its beginning", "image/jpeg", whole[:len(whole)/4], FaultDamaged)
	f("a name", "image/webp", []byte("RIFF\x00\x00\x00\x00WEBPVP8 "), FaultDamaged)
}

func FuzzRender(f *testing.F) {
	f.Add("image/png", said(3, 3, 8))
	f.Add("image/jpeg", exif([]byte{0xFF, 0xD8}, binary.LittleEndian, 6))
	f.Fuzz(func(t *testing.T, mediaType string, file []byte) {
		if len(file) > 1<<16 {
			return
		}
		r, fault := Render(mediaType, file)
		if fault == "" && (max(r.Large.Width, r.Large.Height) > largeMax || max(r.Small.Width, r.Small.Height) > smallMax) {
			t.Fatalf("it grows: %+v", r)
		}
	})
}
