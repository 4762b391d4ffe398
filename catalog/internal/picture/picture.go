// Package picture looks at pictures of strangers, and makes of them what shoppers get: new pictures of bounded size, without anything
// else that the file had, such as where it was taken. What is no picture, or would take too much to decode, is refused before anything is
// decoded. It is pure: it neither reads nor keeps files.
package picture

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"net/http"

	"golang.org/x/image/draw"
	"golang.org/x/image/webp"
)

const (
	// BytesMax bounds a file.
	BytesMax = 10 << 20

	sideMax   = 10_000
	pixelsMax = 25_000_000 // of 8 bits for each colour; of 16 bits half of them
	scansMax  = 100        // of a JPEG file: each is a pass over all pixels

	largeMax = 2048
	smallMax = 320
	quality  = 85
)

// Type is the type of what shoppers get.
const Type = "image/jpeg"

// Fault says in a word why a file is refused. The empty one: it is not.
type Fault string

// The faults of files.
const (
	FaultType       Fault = "type"       // it is not what it was said to be
	FaultDimensions Fault = "dimensions" // it has too many pixels
	FaultDamaged    Fault = "damaged"    // it cannot be decoded
)

// format is how files of a type are read.
type format struct {
	config func([]byte) (image.Config, error)
	decode func([]byte) (image.Image, error)
}

// formats are those whose files nothing runs in. SVG is none of them: it has scripts.
var formats = map[string]format{
	"image/jpeg": {
		func(b []byte) (image.Config, error) { return jpeg.DecodeConfig(bytes.NewReader(b)) },
		func(b []byte) (image.Image, error) { return jpeg.Decode(bytes.NewReader(b)) },
	},
	"image/png": {
		func(b []byte) (image.Config, error) { return png.DecodeConfig(bytes.NewReader(b)) },
		func(b []byte) (image.Image, error) { return png.Decode(bytes.NewReader(b)) },
	},
	"image/webp": {
		func(b []byte) (image.Config, error) { return webp.DecodeConfig(bytes.NewReader(b)) },
		func(b []byte) (image.Image, error) { return webp.Decode(bytes.NewReader(b)) },
	},
}

// Reads reports whether files of a type are read.
func Reads(mediaType string) bool { _, ok := formats[mediaType]; return ok }

// Rendition is what shoppers get.
type Rendition struct {
	Width, Height int
	Body          []byte
}

// Renditions are those of a picture: one for its own page, and one for lists.
type Renditions struct{ Large, Small Rendition }

// Render makes the renditions of a file that is said to be of a type, or says why there are none.
func Render(mediaType string, file []byte) (Renditions, Fault) {
	of, ok := formats[mediaType]
	if !ok || http.DetectContentType(file) != mediaType {
		return Renditions{}, FaultType
	}
	config, err := of.config(file)
	if err != nil {
		return Renditions{}, FaultDamaged
	}
	if !bounded(config) || mediaType == "image/jpeg" && bytes.Count(file, []byte{0xFF, 0xDA}) > scansMax {
		return Renditions{}, FaultDimensions
	}
	whole, err := of.decode(file)
	if err != nil {
		return Renditions{}, FaultDamaged
	}
	turn := 1
	if mediaType == "image/jpeg" {
		turn = orientation(file)
	}
	large := upright(fit(whole, largeMax), turn)
	var r Renditions
	if r.Large, err = render(large); err == nil {
		r.Small, err = render(fit(large, smallMax))
	}
	if err != nil {
		return Renditions{}, FaultDamaged
	}
	return r, ""
}

func bounded(c image.Config) bool {
	pixels := int64(c.Width) * int64(c.Height)
	switch c.ColorModel {
	case color.RGBA64Model, color.NRGBA64Model, color.Gray16Model:
		pixels *= 2
	}
	return c.Width > 0 && c.Height > 0 && c.Width <= sideMax && c.Height <= sideMax && pixels <= pixelsMax
}

// fit draws a picture on white, so that no side is longer. None grows.
func fit(of image.Image, side int) *image.RGBA {
	width, height := of.Bounds().Dx(), of.Bounds().Dy()
	if longer := max(width, height); longer > side {
		width, height = max(1, width*side/longer), max(1, height*side/longer)
	}
	// By halves first: the kernel takes 32 bytes for each row and each new column.
	for b := of.Bounds(); max(b.Dx(), b.Dy()) > 2*side; b = of.Bounds() {
		half := image.NewRGBA(image.Rect(0, 0, max(1, b.Dx()/2), max(1, b.Dy()/2)))
		draw.Draw(half, half.Bounds(), image.White, image.Point{}, draw.Src)
		draw.ApproxBiLinear.Scale(half, half.Bounds(), of, b, draw.Over, nil)
		of = half
	}
	to := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(to, to.Bounds(), image.White, image.Point{}, draw.Src)
	draw.CatmullRom.Scale(to, to.Bounds(), of, of.Bounds(), draw.Over, nil)
	return to
}

func render(of *image.RGBA) (Rendition, error) {
	var body bytes.Buffer
	err := jpeg.Encode(&body, of, &jpeg.Options{Quality: quality})
	return Rendition{of.Bounds().Dx(), of.Bounds().Dy(), body.Bytes()}, err
}
