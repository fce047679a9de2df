package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/valyala/fasthttp"
)

// maxAnswerBytes bounds an answer of POST /kv/get: a request of some kilobytes must
// not cost a gigabyte.
const maxAnswerBytes = 64 << 20

// serveGetMany is POST /kv/get: the values of a list of keys, from one state. It is
// a read with a body, so it changes nothing whatever happens, and its errors say
// so to those who take every POST for a write.
func (n *Node) serveGetMany(ctx *fasthttp.RequestCtx, query []byte) {
	if p := notJSON(ctx, "POST /kv/get takes application/json"); p != nil {
		n.refuse(ctx, p)
		return
	}
	answer, index, err := n.getMany(ctx, query)
	if err != nil {
		n.failed(ctx, err, false)
		ctx.Response.Header.Set(HeaderOutcome, OutcomeNotApplied)
		return
	}
	n.stampIndex(ctx, index)
	ctx.SetContentType(jsonType)
	ctx.Response.SetBodyRaw(answer)
}

// getMany returns the answer's body and the index of the state that it is from.
func (n *Node) getMany(ctx *fasthttp.RequestCtx, query []byte) ([]byte, uint64, error) {
	if _, err := parameters(query, argConsistency, argMaxStaleness); err != nil {
		return nil, 0, err
	}
	o, err := readOptions(&ctx.Request.Header, query)
	if err != nil {
		return nil, 0, err
	}
	keys, err := decodeKeys(ctx.PostBody())
	if err != nil {
		return nil, 0, err
	}
	values, index, err := n.GetMany(context.Background(), keys, o)
	if err != nil {
		return nil, 0, err
	}
	answer, err := appendValues(nil, keys, values, maxAnswerBytes)
	return answer, index, err
}

// decodeKeys reads {"keys":["…"],"keys_base64":["…"]}: those of keys come first.
func decodeKeys(data []byte) ([][]byte, error) {
	var plain, encoded [][]byte
	err := eachField(data, []string{"keys", "keys_base64"}, func(o *object, name string) error {
		return o.texts(name, func(s string) error {
			if len(plain)+len(encoded) == MaxReadKeys {
				return fmt.Errorf("%s: %w: more than %d keys in all", name, ErrTooLarge, MaxReadKeys)
			}
			if name == "keys" {
				plain = append(plain, []byte(s))
				return nil
			}
			key, err := fromBase64(name, s)
			encoded = append(encoded, key)
			return err
		})
	})
	return append(plain, encoded...), err
}

// appendValues appends {"items":[…]}, one item for each key in their order, unless
// that makes b longer than most bytes (ErrTooLarge).
func appendValues(b []byte, keys [][]byte, values []Value, most int) ([]byte, error) {
	size := 0
	for i := range values {
		size += len(keys[i]) + len(values[i].Value)
	}
	if size > most { // without a copy of anything
		return nil, answerTooLarge(most)
	}
	b = slices.Grow(b, size+len(values)*itemOverhead)
	b = append(b, `{"items":[`...)
	for i := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendFound(b, keys[i], &values[i])
		if len(b)+len(`]}`) > most { // escapes make it longer than what is stored
			return nil, answerTooLarge(most)
		}
	}
	return append(b, `]}`...), nil
}

func appendFound(b, key []byte, v *Value) []byte {
	b = appendField(append(b, '{'), "key", key)
	if !v.Found {
		return append(b, `,"found":false}`...)
	}
	b = append(b, `,"found":true,`...)
	b = appendStored(b, v.Value, v.ETag, v.Writes)
	return append(b, '}')
}

func answerTooLarge(most int) error {
	return fmt.Errorf("answer: %w: it would be more than %d bytes: ask for fewer keys", ErrTooLarge, most)
}
