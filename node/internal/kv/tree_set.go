package kv

import "slices"

// set puts a record in the place of that of its key, or adds it.
func (t *tree) set(r rec) {
	t.begin()
	if t.root == nil {
		t.root = newPage(t.edit, true)
	}
	t.root = t.own(t.root)
	if right, least := t.put(t.root, r.key(), r, true); right != nil {
		root := newPage(t.edit, false)
		root.recs, root.kids = append(root.recs, least), append(root.kids, t.root, right)
		t.root = root
	}
}

// put is set below a page of this edit; last says that no key is behind that page.
// Where it becomes too long, its end becomes the page right, and least divides the
// two.
func (t *tree) put(p *page, key string, r rec, last bool) (right *page, least rec) {
	if p.kids == nil {
		return t.putLeaf(p, key, r, last)
	}
	i := below(p, key)
	p.kids[i] = t.own(p.kids[i])
	if right, least = t.put(p.kids[i], key, r, last && i == len(p.kids)-1); right == nil {
		return nil, ""
	}
	p.recs, p.kids = slices.Insert(p.recs, i, least), slices.Insert(p.kids, i+1, right)
	if len(p.kids) <= pageLen {
		return nil, ""
	}
	return t.split(p, pageLen/2)
}

func (t *tree) putLeaf(p *page, key string, r rec, last bool) (right *page, least rec) {
	i, found := find(p, key)
	if found {
		p.recs[i] = r
		return nil, ""
	}
	t.count++
	if len(p.recs) == pageLen {
		at := pageLen / 2
		if last && i == pageLen { // keys that come in order leave full pages behind
			at = pageLen
		}
		right = newPage(t.edit, true)
		right.recs, p.recs = append(right.recs, p.recs[at:]...), cut(p.recs, at)
		if i >= at {
			p, i = right, i-at
		}
	}
	p.recs = slices.Insert(p.recs, i, r)
	if right != nil {
		least = divider(right.recs[0])
	}
	return right, least
}

// divider is a copy of a record's key alone: the record may go, and its memory must
// then go too.
func divider(r rec) rec { return newRec([]byte(r.key()), nil, 0, 0) }

// split moves what a page that divides others has from a place on to a new one.
func (t *tree) split(p *page, at int) (right *page, least rec) {
	right, least = newPage(t.edit, false), p.recs[at-1]
	right.recs, right.kids = append(right.recs, p.recs[at:]...), append(right.kids, p.kids[at:]...)
	p.recs, p.kids = cut(p.recs, at-1), cut(p.kids, at)
	return right, least
}

// cut drops the end of a slice, and holds on to nothing in it.
func cut[E any](s []E, at int) []E { return slices.Delete(s, at, len(s)) }

// delete removes the record of a key, where there is one.
func (t *tree) delete(key []byte) {
	if t.get(key) == "" {
		return
	}
	t.begin()
	t.root = t.own(t.root)
	t.remove(t.root, key)
	t.count--
	switch {
	case t.root.len() == 0:
		t.root = nil
	case len(t.root.kids) == 1:
		t.root = t.root.kids[0]
	}
}

// remove is delete below a page of this edit, of a key that is there.
func (t *tree) remove(p *page, key []byte) {
	if p.kids == nil {
		i, _ := find(p, key)
		p.recs = slices.Delete(p.recs, i, i+1)
		return
	}
	i := below(p, key)
	p.kids[i] = t.own(p.kids[i])
	t.remove(p.kids[i], key)
	if p.kids[i].len() < leastLen {
		t.join(p, min(i, len(p.kids)-2))
	}
}

// join makes one page of the page below p at i and the next one, or where that
// would be too long, two of one length.
func (t *tree) join(p *page, i int) {
	left, right := t.own(p.kids[i]), p.kids[i+1]
	p.kids[i] = left
	recs, kids := slices.Clone(left.recs), slices.Concat(left.kids, right.kids)
	if left.kids != nil {
		recs = append(recs, p.recs[i])
	}
	recs = append(recs, right.recs...)
	if left.len()+right.len() <= pageLen {
		left.recs, left.kids = append(left.recs, recs[len(left.recs):]...), append(left.kids, right.kids...)
		p.recs, p.kids = slices.Delete(p.recs, i, i+1), slices.Delete(p.kids, i+1, i+2)
		return
	}
	right = t.own(right)
	p.kids[i+1] = right
	if left.kids == nil {
		half := len(recs) / 2
		left.recs, right.recs = fill(left.recs, recs[:half]), fill(right.recs, recs[half:])
		p.recs[i] = divider(right.recs[0])
		return
	}
	half := len(kids) / 2
	left.kids, right.kids = fill(left.kids, kids[:half]), fill(right.kids, kids[half:])
	left.recs, right.recs = fill(left.recs, recs[:half-1]), fill(right.recs, recs[half:])
	p.recs[i] = recs[half-1]
}

// fill puts new elements in the place of those of a slice.
func fill[E any](s, with []E) []E { return append(cut(s, 0), with...) }
