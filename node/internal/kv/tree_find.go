package kv

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unsafe"
)

// A search looks at heads, which stand side by side in a page, and at a record only
// where the heads are the same: a record is anywhere in memory, and to fetch it
// takes longer than all else that a search does.

// head is the first bytes of a key behind those that it is known to have in common
// with all that it is compared with. The key with the lesser head is less; of two
// with the same head nothing is known.
func head(key string, skip int) (h uint64) {
	switch rest := len(key) - skip; {
	case rest >= 8:
		return word(key[skip:])
	case rest <= 0:
		return 0
	case len(key) >= 8:
		return word(key[len(key)-8:]) << (8 * (8 - rest))
	}
	for i := skip; i < len(key); i++ {
		h |= uint64(key[i]) << (8 * (7 - i + skip))
	}
	return h
}

func word(s string) uint64 {
	var b [8]byte
	copy(b[:], s)
	return binary.BigEndian.Uint64(b[:])
}

// find returns where a page has a key, or where it would be: a key that begins as
// all in this page do, or "", which is before them all.
func (p *page) find(key string) (i int, found bool) {
	h := head(key, p.skip)
	low, high := p.before(h), len(p.recs)
	if low == high || p.heads[low] != h {
		return low, false
	}
	for low < high {
		mid := int(uint(low+high) / 2)
		if p.heads[mid] == h && p.recs[mid].key() < key {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(p.recs) && p.heads[low] == h && p.recs[low].key() == key
}

// before is how many heads are less than h. It looks at one of each eight, which are
// a line of the processor's cache, and then at eight, without a branch: so all lines
// of a page that is not in the cache are on their way at once.
func (p *page) before(h uint64) (n int) {
	for i := 7; i < len(p.recs); i += 8 {
		_, less := bits.Sub64(p.heads[i], h, 0)
		n += int(less)
	}
	n *= 8
	for _, at := range p.heads[n:min(n+8, len(p.recs))] {
		_, less := bits.Sub64(at, h, 0)
		n += int(less)
	}
	return n
}

// text is a key as a string, for a search: it is the same memory.
func text(key []byte) string { return unsafe.String(unsafe.SliceData(key), len(key)) }

// below returns which of the pages below may have a key.
func (p *page) below(key string) int {
	i, found := p.find(key)
	if found {
		i++
	}
	return i
}

// insert puts a record at a place.
func (p *page) insert(i int, r rec) {
	p.recs = append(p.recs, "")
	copy(p.recs[i+1:], p.recs[i:])
	copy(p.heads[i+1:len(p.recs)], p.heads[i:])
	p.recs[i], p.heads[i] = r, head(r.key(), p.skip)
}

// remove takes the record at a place away.
func (p *page) remove(i int) {
	copy(p.heads[i:], p.heads[i+1:len(p.recs)])
	p.recs = slices.Delete(p.recs, i, i+1)
}

// begins notes how many bytes the keys begin with alike.
func (p *page) begins(skip int) {
	p.skip = skip
	for i, r := range p.recs {
		p.heads[i] = head(r.key(), skip)
	}
}

// skipBelow is how many bytes all keys that belong below, at a place, begin with
// alike: they are between two records of this page, or, where one of these is
// missing, at least between those that this page is between.
func (p *page) skipBelow(i int) int {
	if i == 0 || i == len(p.recs) {
		return p.skip
	}
	a, b := p.recs[i-1].key(), p.recs[i].key()
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// divide puts another record between the pages below at a place and behind it.
func (p *page) divide(i int, r rec) {
	p.recs[i], p.heads[i] = r, head(r.key(), p.skip)
	p.kids[i].begins(p.skipBelow(i))
	p.kids[i+1].begins(p.skipBelow(i + 1))
}

// narrowed is called when less belongs to the page below, at a place, than before.
func (p *page) narrowed(i int) {
	if skip := p.skipBelow(i); skip > p.kids[i].skip {
		p.kids[i].begins(skip)
	}
}
