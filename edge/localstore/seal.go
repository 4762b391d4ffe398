package localstore

import (
	"encoding/binary"
	"hash/crc32"
)

const sealBytes = 4 + 4

// seal puts the version and a checksum before the data. The checksum covers the key, so that no record passes for
// another one.
func seal(key string, version uint32, data []byte) string {
	record := make([]byte, sealBytes, sealBytes+len(data))
	binary.BigEndian.PutUint32(record[4:], version)
	record = append(record, data...)
	binary.BigEndian.PutUint32(record, checksum(key, record[4:]))
	return string(record)
}

func unseal(key string, version uint32, record string) ([]byte, bool) {
	b := []byte(record)
	if len(b) < sealBytes || binary.BigEndian.Uint32(b) != checksum(key, b[4:]) ||
		binary.BigEndian.Uint32(b[4:]) != version {
		return nil, false
	}
	return b[sealBytes:], true
}

func checksum(key string, data []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum([]byte(key), table), table, data)
}
