package kv

import "sync/atomic"

// tree holds records in the byte order of their keys: a B+ tree that is copied on
// write. A view of it costs nothing to take; after it the tree copies each page
// before it changes it the first time, a few KiB, so that a view that is read for
// long never holds up who writes.
//
// Views may be taken by several goroutines at once, but not while the tree is
// changed.
type tree struct {
	version
	edit   *edit       // of the pages that no view can see, which are changed in place
	shared atomic.Bool // a view was taken since that edit began
}

// edit is an era of a tree: a page belongs to that in which it was made.
type edit struct{ _ byte } // not empty, or all would have one address

// version is one state of a tree.
type version struct {
	root  *page // nil where there is no key
	count int
}

// page is a leaf, with records, or has pages below it. Every page but the root has
// something in it, and those with pages below have two of them at least.
type page struct {
	edit *edit
	// recs of a leaf are its records. Those of another page divide the pages below:
	// no key in kids[i] or before it is as great as that of recs[i], and none
	// behind it is less. They hold a key alone.
	recs []rec
	kids []*page
	// Every key that is looked for in this page, and so every record's, begins with
	// the same skip bytes; heads are what follows them in the records' keys.
	skip  int
	heads [pageLen]uint64
}

// A page has at most pageLen records, or pages below it, and takes about 1.5 KiB; it
// is joined with its neighbour when it has less than leastLen.
const (
	pageLen  = 64
	leastLen = pageLen / 4
)

func newPage(e *edit, leaf bool) *page {
	p := &page{edit: e, recs: make([]rec, 0, pageLen)}
	if !leaf {
		p.kids = make([]*page, 0, pageLen+1)
	}
	return p
}

// len is how many records there are in a leaf, or pages below another page.
func (p *page) len() int {
	if p.kids != nil {
		return len(p.kids)
	}
	return len(p.recs)
}

// get returns the record of a key; "" where there is none.
func (v version) get(key []byte) rec {
	p, k := v.root, text(key)
	if p == nil {
		return ""
	}
	for p.kids != nil {
		p = p.kids[p.below(k)]
	}
	if i, found := p.find(k); found {
		return p.recs[i]
	}
	return ""
}

// item returns a key's item.
func (v version) item(key []byte) (Item, bool) {
	r := v.get(key)
	if r == "" {
		return Item{}, false
	}
	return r.item(), true
}

// ascend visits the records from a key on, in order, until visit returns false.
func (v version) ascend(from string, visit func(rec) bool) {
	if v.root != nil {
		v.root.ascend(from, visit)
	}
}

func (p *page) ascend(from string, visit func(rec) bool) (more bool) {
	if p.kids == nil {
		i, _ := p.find(from)
		for _, r := range p.recs[i:] {
			if !visit(r) {
				return false
			}
		}
		return true
	}
	for _, kid := range p.kids[p.below(from):] {
		if !kid.ascend(from, visit) {
			return false
		}
		from = ""
	}
	return true
}

// view returns the tree as it is now.
func (t *tree) view() version {
	if !t.shared.Load() {
		t.shared.Store(true)
	}
	return t.version
}

// begin is called before each change.
func (t *tree) begin() {
	if t.edit == nil || t.shared.Load() {
		t.edit = new(edit)
		t.shared.Store(false)
	}
}

// own returns a page that may be changed: p or a copy of it.
func (t *tree) own(p *page) *page {
	if p.edit == t.edit {
		return p
	}
	c := newPage(t.edit, p.kids == nil)
	c.recs, c.kids = append(c.recs, p.recs...), append(c.kids, p.kids...)
	c.skip, c.heads = p.skip, p.heads
	return c
}
