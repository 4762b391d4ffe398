package picture

import (
	"bytes"
	"encoding/binary"
	"image"
)

// orientation reads how the camera was held from a JPEG file: 1 to 8, as Exif has it. A file that does not say it is upright: 1.
func orientation(file []byte) int {
	for at := 2; at+4 <= len(file) && file[at] == 0xFF; {
		marker, length := file[at+1], int(binary.BigEndian.Uint16(file[at+2:]))
		end := at + 2 + length
		if length < 2 || end > len(file) || marker == 0xDA {
			break
		}
		if body, ok := bytes.CutPrefix(file[at+4:end], []byte("Exif\x00\x00")); ok && marker == 0xE1 {
			return orientationIn(body)
		}
		at = end
	}
	return 1
}

// orientationIn reads it from the first directory of a TIFF file, which Exif is.
func orientationIn(tiff []byte) int {
	const tag, short, entryBytes = 0x0112, 3, 12
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(tiff, []byte("II*\x00")):
		order = binary.LittleEndian
	case bytes.HasPrefix(tiff, []byte("MM\x00*")):
		order = binary.BigEndian
	default:
		return 1
	}
	if len(tiff) < 8 {
		return 1
	}
	first := int64(order.Uint32(tiff[4:]))
	if first+2 > int64(len(tiff)) {
		return 1
	}
	entries := tiff[first+2:]
	for n := int(order.Uint16(tiff[first:])); n > 0 && len(entries) >= entryBytes; n-- {
		if order.Uint16(entries) == tag && order.Uint16(entries[2:]) == short {
			if of := int(order.Uint16(entries[8:])); of >= 1 && of <= 8 {
				return of
			}
			return 1
		}
		entries = entries[entryBytes:]
	}
	return 1
}

// upright turns a picture as its orientation says: 2, 4, 5 and 7 are mirrored, and 5 to 8 lie on a side.
func upright(of *image.RGBA, orientation int) *image.RGBA {
	if orientation == 1 {
		return of
	}
	width, height := of.Bounds().Dx(), of.Bounds().Dy()
	to := image.NewRGBA(image.Rect(0, 0, width, height))
	if orientation >= 5 {
		to = image.NewRGBA(image.Rect(0, 0, height, width))
	}
	for y := range to.Bounds().Dy() {
		for x := range to.Bounds().Dx() {
			fromX, fromY := x, y
			if orientation >= 5 {
				fromX, fromY = y, x
			}
			switch orientation {
			case 2, 3, 7, 8:
				fromX = width - 1 - fromX
			}
			switch orientation {
			case 3, 4, 6, 7:
				fromY = height - 1 - fromY
			}
			to.SetRGBA(x, y, of.RGBAAt(fromX, fromY))
		}
	}
	return to
}
