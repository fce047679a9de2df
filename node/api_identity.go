package node

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/dengine/dengine/internal/edge"
	"github.com/dengine/dengine/node/internal/kv"
	"github.com/valyala/fasthttp"
)

// parseIdentity reads the headers that identify a write.
func parseIdentity(h *fasthttp.RequestHeader) (id Identity, err error) {
	session, err := single(h, HeaderSession)
	if err != nil {
		return id, err
	}
	sequence, err := single(h, HeaderSequence)
	if err != nil {
		return id, err
	}
	acked, err := single(h, HeaderAcked)
	if err != nil {
		return id, err
	}
	if session != nil || sequence != nil || acked != nil {
		if id.Session, err = parseSession(session); err != nil {
			return id, err
		}
		if id.Sequence, err = parseNumber(HeaderSequence, sequence, 1); err != nil {
			return id, err
		}
		if id.Acked, err = parseAcked(acked); err != nil {
			return id, err
		}
	}
	key, err := single(h, HeaderIdempotencyKey)
	if err != nil || key == nil {
		return id, err
	}
	if id.Key, err = parseIdempotencyKey(key); err != nil {
		return id, err
	}
	id.Scope, err = single(h, fasthttp.HeaderAuthorization)
	return id, err
}

// single returns the value of a header that may come once, nil where it does not.
func single(h *fasthttp.RequestHeader, name string) ([]byte, error) {
	switch lines := h.PeekAll(name); len(lines) {
	case 0:
		return nil, nil
	case 1:
		return append([]byte{}, lines[0]...), nil // never nil, also where it is empty
	}
	return nil, fmt.Errorf("%s: %w: given more than once", name, ErrBadInput)
}

func parseSession(value []byte) (id SessionID, err error) {
	if len(value) != hex.EncodedLen(len(id)) {
		return id, fmt.Errorf("%s: %w: want the %d hex digits that opened the session", HeaderSession, ErrBadInput, hex.EncodedLen(len(id)))
	}
	if _, err := hex.Decode(id[:], value); err != nil { // whose text would show the value
		return id, fmt.Errorf("%s: %w: not hex digits", HeaderSession, ErrBadInput)
	}
	return id, nil
}

func parseNumber(name string, value []byte, least uint64) (uint64, error) {
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil || n < least {
		return 0, fmt.Errorf("%s: %w: %q: want a whole number from %d", name, ErrBadInput, value, least)
	}
	return n, nil
}

func parseAcked(value []byte) (uint64, error) {
	if value == nil {
		return 0, nil
	}
	return parseNumber(HeaderAcked, value, 0)
}

// parseIdempotencyKey reads a key as most clients send it, bare, or as the IETF
// draft has it, a quoted string (draft-ietf-httpapi-idempotency-key-header; RFC
// 8941, 3.3.3). Both forms name the same key.
func parseIdempotencyKey(value []byte) ([]byte, error) {
	bad := func(why string) error { return fmt.Errorf("%s: %w: %s", HeaderIdempotencyKey, ErrBadInput, why) }
	key, lowest := value, byte('!')
	if len(value) > 0 && value[0] == '"' {
		var ok bool
		if key, ok = unquote(value); !ok {
			return nil, bad(`a quoted key ends with its only bare quote, and has a backslash only before " and \`)
		}
		lowest = ' '
	}
	if len(key) == 0 || len(key) > kv.MaxIDKeyBytes {
		return nil, bad(fmt.Sprintf("it has %d characters: want 1 to %d", len(key), kv.MaxIDKeyBytes))
	}
	for _, c := range key {
		if c < lowest || c > '~' {
			return nil, bad(fmt.Sprintf("it holds %q: want visible ASCII, and spaces only in quotes", c))
		}
	}
	return key, nil
}

func unquote(s []byte) ([]byte, bool) {
	var out []byte
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return out, i == len(s)-1
		case '\\':
			if i++; i == len(s) || (s[i] != '"' && s[i] != '\\') {
				return nil, false
			}
		}
		out = append(out, s[i])
	}
	return nil, false
}

// stampIdentity says what the state machine decided by the write's identity.
func stampIdentity(ctx *fasthttp.RequestCtx, id *Identity, res *Result, err error) {
	if res.Replayed {
		ctx.Response.Header.Set(HeaderReplayed, "true")
	}
	decided := err == nil || errors.Is(err, ErrIdentitiesFull) || errors.Is(err, ErrKeyReused)
	if id.Sequence != 0 && decided {
		var buf [20]byte
		ctx.Response.Header.SetBytesV(HeaderSequence, strconv.AppendUint(buf[:0], id.Sequence, 10))
	}
}

// statusProblem is how the API tells what the state machine said of an identity;
// nil where it said nothing.
func statusProblem(err error) *edge.Problem {
	for _, s := range []struct {
		is      error
		status  int
		code    string
		message string
	}{
		{ErrSessionUnknown, fasthttp.StatusConflict, "session_unknown", "open another session; what was sent in this one and not answered may or may not have happened"},
		{ErrSequenceAnswered, fasthttp.StatusConflict, "sequence_answered", "the answer to this number is forgotten, since it was acknowledged: read the key before writing again"},
		{ErrSequenceBeyondWindow, fasthttp.StatusConflict, "sequence_beyond_window", "wait for the answers to earlier numbers and acknowledge them"},
		{ErrIdentitiesFull, fasthttp.StatusServiceUnavailable, "identities_full", "the table of identities is full: try again when some have expired"},
		{ErrKeyReused, fasthttp.StatusUnprocessableEntity, "idempotency_key_reused", "this Idempotency-Key was used for another request: take a new key for each"},
	} {
		if errors.Is(err, s.is) {
			return &edge.Problem{Status: s.status, Code: s.code, Message: s.message}
		}
	}
	return nil
}
