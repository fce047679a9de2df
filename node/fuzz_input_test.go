package node

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// isInput says that an error is one that tells a client of its own mistake.
func isInput(err error) bool { return errors.Is(err, ErrBadInput) || errors.Is(err, ErrTooLarge) }

// Whatever comes as a JSON body is refused as bad input, or says what the standard
// library's decoder reads in it; and whatever a value is, its JSON gives it back.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		`{"key":"a/b","value":"\u00e9\ud83d\ude00"}`, `{"value_base64":"AAH/","key":""}`, `{"keys":["a","","b"],"keys_base64":["/w=="]}`,
		`{"key":"a","key":"b"}`, `{"Key":"a"}`, `{"value":"\ud800"}`, `{"value":"�\ufffd"}`, `{"keys":[null]}`, `{"key":"a",}`, `{} x`, "\x00\x1f\"\\\xff",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checkBody(t, data)
		checkKeyList(t, data)
		var back struct {
			Value  *string
			Base64 []byte `json:"value_base64"`
		}
		if err := json.Unmarshal(appendValueJSON(nil, data), &back); err != nil {
			t.Fatalf("%q is no JSON: %v", appendValueJSON(nil, data), err)
		}
		if back.Value != nil {
			back.Base64 = []byte(*back.Value)
		}
		if !bytes.Equal(back.Base64, data) {
			t.Errorf("%q comes back as %q", data, back.Base64)
		}
	})
}

func checkBody(t *testing.T, data []byte) {
	t.Helper()
	b, err := decodeBody(data, "key", "value", "value_base64")
	if err != nil {
		if !isInput(err) {
			t.Errorf("%q: %v", data, err)
		}
		return
	}
	var want map[string]string
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatalf("%q was taken, and is no JSON of strings: %v", data, err)
	}
	got := map[string]string{}
	for name, p := range map[string]*string{"key": b.key, "value": b.value, "value_base64": b.base64} {
		if p != nil {
			got[name] = *p
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("%q is taken for %q", data, got)
	}
	for _, err := range []error{b.needKey(), second(b.valueBytes())} {
		if err != nil && !isInput(err) {
			t.Errorf("%q: %v", data, err)
		}
	}
}

func second(_ []byte, err error) error { return err }

func checkKeyList(t *testing.T, data []byte) {
	t.Helper()
	keys, err := decodeKeys(data)
	if err != nil {
		if !isInput(err) {
			t.Errorf("%q: %v", data, err)
		}
		return
	}
	var lists map[string][]string
	if err := json.Unmarshal(data, &lists); err != nil {
		t.Fatalf("%q was taken, and is no JSON of lists: %v", data, err)
	}
	want := lists["keys"]
	for _, s := range lists["keys_base64"] {
		key, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Errorf("%q was taken: %v", data, err)
		}
		want = append(want, string(key))
	}
	if !slices.EqualFunc(keys, want, func(k []byte, w string) bool { return string(k) == w }) {
		t.Errorf("%q is taken for %q, not %q", data, keys, want)
	}
}

// Whatever comes as a query is refused as bad input, or says what the standard
// library reads in it; and the two who read the query of a scan agree on its level.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"prefix=a%2Fb&start=a%2Fbc&limit=10", "cursor=AQUAYQ&prefix=", "consistency=lease&max_staleness=1h0m0.5s", "limit=00000000000000000001",
		"prefix=a+b&&limit=1001", "prefix=%zz", "prefix=a;limit=1", "consistency", "max_staleness=-1s", "consistency=eventual&consistency=lease",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, query []byte) {
		r, _, err := parseScan(bytes.Clone(query))
		if err != nil {
			if !isInput(err) {
				t.Errorf("%q: %v", query, err)
			}
			return
		}
		q, err := parameters(query, "prefix", "start", "limit", "cursor", argConsistency, argMaxStaleness)
		if err != nil {
			t.Fatalf("%q: %v", query, err)
		}
		if want, err := url.ParseQuery(string(query)); err == nil {
			for name, values := range want {
				if len(values) != 1 || values[0] != string(q[name]) || len(want) != len(q) {
					t.Errorf("%q is taken for %q, not %q", query, q, want)
				}
			}
		}
		if len(q["cursor"]) == 0 && (string(r.Prefix) != string(q["prefix"]) || string(r.Start) != string(q["start"])) {
			t.Errorf("%q makes %+v", query, r)
		}
		got, errGot := readOptions(new(fasthttp.RequestHeader), query)
		want, errWant := parseOptions(q[argConsistency], q[argMaxStaleness])
		if got != want || (errGot == nil) != (errWant == nil) {
			t.Errorf("%q: %+v (%v) for one reader, %+v (%v) for the other", query, got, errGot, want, errWant)
		}
	})
}

// Whatever comes in a header of the API is refused as bad input, or understood in
// one way.
func FuzzHeaders(f *testing.F) {
	f.Add(`"a key \"quoted\""`, `W/"x", "1a" ,"0"`, "00000000000000000000000000000000000000007", "500ms")
	f.Add("bare-key", "*", "18446744073709551616", "1h1ns")
	f.Add(`"`, `"`, "+1", "-0")
	f.Fuzz(func(t *testing.T, key, tags, number, age string) {
		checkIdempotencyKey(t, key)
		checkTags(t, tags)
		checkIndex(t, number)
		if o, err := parseOptions(nil, []byte(age)); err == nil && age != "" && o.MaxStaleness <= 0 || err != nil && !isInput(err) {
			t.Errorf("max_staleness %q: %v, %v", age, o.MaxStaleness, err)
		}
	})
}

// checkTags writes the tags that were read as this node would, and reads them again.
func checkTags(t *testing.T, tags string) {
	t.Helper()
	first, err := parseTags(tags)
	if err != nil {
		return
	}
	var written []string
	for _, tag := range first {
		written = append(written, tag.String())
	}
	if again, err := parseTags(strings.Join(written, ", ")); err != nil || !slices.Equal(again, first) {
		t.Errorf("%q is %v, and then %v (%v)", tags, first, again, err)
	}
	if !matchesAny([]byte("*"), first[0]) || !matchesAny([]byte(first[0].String()), first[0]) {
		t.Errorf("%q: %v does not match itself", tags, first[0])
	}
}

func checkIdempotencyKey(t *testing.T, key string) {
	t.Helper()
	k, err := parseIdempotencyKey([]byte(key))
	if err != nil {
		if !isInput(err) {
			t.Errorf("%q: %v", key, err)
		}
		return
	}
	quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(string(k)) + `"`
	if again, err := parseIdempotencyKey([]byte(quoted)); err != nil || !bytes.Equal(again, k) {
		t.Errorf("%q names %q, whose quoted form %s names %q (%v)", key, k, quoted, again, err)
	}
}

// checkIndex compares what is read of a log index with arithmetic that has no end.
func checkIndex(t *testing.T, number string) {
	t.Helper()
	if strings.ContainsAny(number, "\r\n") || number == "" {
		return // no header's value
	}
	var h fasthttp.RequestHeader
	h.Set(HeaderMinIndex, number)
	o, err := readOptions(&h, nil)
	want, ok := new(big.Int).SetString(number, 10)
	ok = ok && want.IsUint64() && strings.Trim(number, "0123456789") == ""
	if ok != (err == nil) || ok && o.MinIndex != want.Uint64() || err != nil && !isInput(err) {
		t.Errorf("%s: %q is taken for %d (%v)", HeaderMinIndex, number, o.MinIndex, err)
	}
}
