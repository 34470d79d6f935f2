package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// version is the version of the schema of both kinds of file. A field that is new and
// says nothing where it is absent leaves it as it is: what has the field is refused by
// programs that do not know it, and what lacks it they read. It rises where they would
// take what they know for something else.
const version = 1

// The kinds of file, as their first word has them.
const (
	kindState = "rpdb-journal"
	kindBody  = "rpdb-generation"
)

// encode returns a file: a line with kind, version and checksum, and the value
// as JSON. It returns the checksum too.
func encode(kind string, v any) (data []byte, sum string, err error) {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return nil, "", err
	}
	sum = checksum(kind, version, text)
	return fmt.Appendf(nil, "%s %d %s\n%s\n", kind, version, sum, text), sum, nil
}

// checksum covers everything in a file but itself and the line breaks.
func checksum(kind string, version int, text []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %d\n", kind, version)
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil))
}

// decode reads what encode wrote, byte for byte, into v, and returns the
// checksum. The error says what is wrong with the file.
func decode(data []byte, kind string, v any) (sum string, err error) {
	head, rest, ok := strings.Cut(string(data), "\n")
	words := strings.Split(head, " ")
	if !ok || len(words) != 3 || words[0] != kind {
		return "", errDamaged
	}
	number, err := strconv.Atoi(words[1])
	if err != nil {
		return "", errDamaged
	}
	text, ok := strings.CutSuffix(rest, "\n")
	if sum = checksum(kind, number, []byte(text)); !ok || sum != words[2] || words[1] != strconv.Itoa(number) {
		return "", errDamaged
	}
	if number != version {
		return "", fmt.Errorf("%w: it is of version %d, and this program knows %d", errOther, number, version)
	}
	// The checksum fits, so some rpdb has written what this one does not know.
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return "", fmt.Errorf("%w: %w", errOther, err)
	}
	return sum, nil
}
