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
		root.insert(0, least)
		root.kids = append(root.kids, t.root, right)
		t.root = root
	}
}

// add is set of a record behind all others: leaf is where the last one is, as add
// returned it, and nothing else was done to the tree since.
func (t *tree) add(leaf *page, r rec) *page {
	if leaf != nil && len(leaf.recs) < pageLen {
		leaf.insert(len(leaf.recs), r)
		t.count++
		return leaf
	}
	t.set(r)
	for leaf = t.root; leaf.kids != nil; {
		leaf = leaf.kids[len(leaf.kids)-1]
	}
	return leaf
}

// put is set below a page of this edit; last says that no key is behind that page.
// Where it becomes too long, its end becomes the page right, and least divides the
// two.
func (t *tree) put(p *page, key string, r rec, last bool) (right *page, least rec) {
	if p.kids == nil {
		return t.putLeaf(p, key, r, last)
	}
	i := p.below(key)
	p.kids[i] = t.own(p.kids[i])
	if right, least = t.put(p.kids[i], key, r, last && i == len(p.kids)-1); right == nil {
		return nil, ""
	}
	p.insert(i, least)
	p.kids = slices.Insert(p.kids, i+1, right)
	p.narrowed(i)
	p.narrowed(i + 1)
	if len(p.kids) <= pageLen {
		return nil, ""
	}
	return t.split(p, pageLen/2)
}

func (t *tree) putLeaf(p *page, key string, r rec, last bool) (right *page, least rec) {
	i, found := p.find(key)
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
		right = t.rightOf(p, at)
		p.recs = cut(p.recs, at)
		if i >= at {
			p, i = right, i-at
		}
	}
	p.insert(i, r)
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
	right, least = t.rightOf(p, at), p.recs[at-1]
	right.kids = append(right.kids, p.kids[at:]...)
	p.recs, p.kids = cut(p.recs, at-1), cut(p.kids, at)
	return right, least
}

// rightOf returns a new page with the records of another one from a place on.
func (t *tree) rightOf(p *page, at int) *page {
	right := newPage(t.edit, p.kids == nil)
	right.recs, right.skip = append(right.recs, p.recs[at:]...), p.skip
	copy(right.heads[:], p.heads[at:len(p.recs)])
	return right
}

// cut drops the end of a slice, and holds on to nothing in it.
func cut[E any](s []E, at int) []E { return slices.Delete(s, at, len(s)) }

// delete removes the record of a key, where there is one.
func (t *tree) delete(k []byte) {
	key := text(k)
	if t.get(k) == "" {
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
func (t *tree) remove(p *page, key string) {
	if p.kids == nil {
		i, _ := p.find(key)
		p.remove(i)
		return
	}
	i := p.below(key)
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
		p.remove(i)
		p.kids = slices.Delete(p.kids, i+1, i+2)
		left.begins(p.skipBelow(i))
		return
	}
	right = t.own(right)
	p.kids[i+1] = right
	if left.kids == nil {
		half := len(recs) / 2
		left.recs, right.recs = fill(left.recs, recs[:half]), fill(right.recs, recs[half:])
		p.divide(i, divider(right.recs[0]))
		return
	}
	half := len(kids) / 2
	left.kids, right.kids = fill(left.kids, kids[:half]), fill(right.kids, kids[half:])
	left.recs, right.recs = fill(left.recs, recs[:half-1]), fill(right.recs, recs[half:])
	p.divide(i, recs[half-1])
}

// fill puts new elements in the place of those of a slice.
func fill[E any](s, with []E) []E { return append(cut(s, 0), with...) }
