package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
)

// What is read here of bbolt's file format 2 (go.etcd.io/bbolt/internal/common):
// a page has a header of 16 bytes, id, flags, count and overflow, then the heads of
// its elements of 16 bytes each, then their keys and values without a gap. Pages 0
// and 1 are the two metas; the one with the higher transaction counts.
const (
	boltHead       = 16
	boltMetaBytes  = 64
	boltMetaSummed = 56
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	boltBranch     = 0x01
	boltLeaf       = 0x02
	boltFreelist   = 0x10
	boltBucket     = 0x01 // of a leaf's element
	boltNoFreelist = ^uint64(0)
)

// checkBolt looks whether bbolt may open a file: every page that is in use is
// what bbolt writes, to the byte where it matters, each is used once, and the
// buckets are those that are wanted (or none yet, where new).
//
// bbolt itself trusts its pages: a damaged one ends the program from a goroutine of
// its own (a wrong page id, a fault behind the end of the file), or shows fewer
// entries. It also passes over a damaged meta page and takes the other one, which
// is the state before the last transaction: with that the last entry or vote is
// gone. A crash does not cause that, since all that counts of a meta page is within
// one sector, so here it is damage.
func checkBolt(path string, isNew bool, buckets ...string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if isNew && info.Size() == 0 { // it was created, and no more
		return nil
	}
	found, err := readBolt(f, uint64(info.Size()))
	if err != nil {
		return err
	}
	if !slices.Equal(found, buckets) && (!isNew || len(found) > 0) {
		return fmt.Errorf("it has the buckets %q, not %q", found, buckets)
	}
	return nil
}

// readBolt walks through a file of size bytes and returns the names of its buckets.
func readBolt(f io.ReaderAt, size uint64) ([]string, error) {
	meta, err := newestBoltMeta(f)
	if err != nil {
		return nil, err
	}
	if meta.end > size/meta.page {
		return nil, fmt.Errorf("it is cut off: it has %d bytes of %d", size, meta.end*meta.page)
	}
	w := &boltWalk{file: f, page: meta.page, used: make([]bool, meta.end)}
	if err := w.freelist(meta.freelist); err != nil {
		return nil, err
	}
	return w.buckets(meta.root)
}

type boltMeta struct{ page, root, freelist, end, tx uint64 }

func newestBoltMeta(f io.ReaderAt) (boltMeta, error) {
	a, err := readBoltMeta(f, 0)
	if err != nil {
		return a, err
	}
	b, err := readBoltMeta(f, int64(a.page))
	if err != nil {
		return b, err
	}
	if a.page != b.page {
		return b, errors.New("its meta pages differ in their page size")
	}
	if a.tx > b.tx {
		return a, nil
	}
	return b, nil
}

func readBoltMeta(f io.ReaderAt, at int64) (boltMeta, error) {
	b := make([]byte, boltHead+boltMetaBytes)
	if _, err := f.ReadAt(b, at); err != nil {
		return boltMeta{}, fmt.Errorf("its meta page at byte %d: %w", at, err)
	}
	b = b[boltHead:]
	le := binary.LittleEndian
	sum := fnv.New64a()
	sum.Write(b[:boltMetaSummed])
	if le.Uint32(b) != boltMagic || le.Uint32(b[4:]) != boltVersion || le.Uint64(b[boltMetaSummed:]) != sum.Sum64() {
		return boltMeta{}, fmt.Errorf("its meta page at byte %d: %w", at, errSum)
	}
	m := boltMeta{page: uint64(le.Uint32(b[8:])), root: le.Uint64(b[16:]), freelist: le.Uint64(b[32:]), end: le.Uint64(b[40:]), tx: le.Uint64(b[48:])}
	if m.page < 512 {
		return m, fmt.Errorf("its pages have %d bytes", m.page)
	}
	return m, nil
}

// boltWalk goes through the pages that are in use.
type boltWalk struct {
	file io.ReaderAt
	page uint64
	used []bool // by page id
	buf  []byte // of the page that is looked at
}

// read returns a page with those that continue it, and notes their use.
func (w *boltWalk) read(id uint64) ([]byte, error) {
	end := uint64(len(w.used))
	if id < 2 || id >= end {
		return nil, fmt.Errorf("it refers to page %d of %d", id, end)
	}
	var head [boltHead]byte
	if _, err := w.file.ReadAt(head[:], int64(id*w.page)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	pages := uint64(binary.LittleEndian.Uint32(head[12:])) + 1
	if binary.LittleEndian.Uint64(head[:]) != id || pages > end-id {
		return nil, fmt.Errorf("page %d is not what it should be", id)
	}
	for i := range pages {
		if w.used[id+i] {
			return nil, fmt.Errorf("page %d is used twice", id+i)
		}
		w.used[id+i] = true
	}
	w.buf = slices.Grow(w.buf[:0], int(pages*w.page))[:pages*w.page]
	if _, err := w.file.ReadAt(w.buf, int64(id*w.page)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return w.buf, nil
}

// freelist looks at the list of free pages: this program writes none, but for the
// empty one of a file that is new.
func (w *boltWalk) freelist(id uint64) error {
	if id == boltNoFreelist {
		return nil
	}
	b, err := w.read(id)
	if err != nil {
		return err
	}
	if flags, count := binary.LittleEndian.Uint16(b[8:]), binary.LittleEndian.Uint16(b[10:]); flags != boltFreelist || count != 0 {
		return errors.New("it has a list of free pages that this program did not write")
	}
	return nil
}

// buckets walks through the tree of the buckets, and through each.
func (w *boltWalk) buckets(root uint64) (names []string, err error) {
	var roots []uint64
	err = w.tree(root, nil, nil, func(e boltElement) error {
		if e.flags != boltBucket || len(e.value) < boltHead {
			return errors.New("something that is no bucket is where buckets are")
		}
		names = append(names, string(e.key))
		if at := binary.LittleEndian.Uint64(e.value); at != 0 {
			roots = append(roots, at)
			return nil
		}
		return checkInline(e.value[boltHead:])
	})
	for _, at := range roots {
		if err == nil {
			err = w.tree(at, nil, nil, plainElement)
		}
	}
	return names, err
}

// tree walks through a tree whose keys are from low, and below high where that is
// not nil, and shows each element of its leaves.
func (w *boltWalk) tree(id uint64, low, high []byte, each func(boltElement) error) error {
	b, err := w.read(id)
	if err != nil {
		return err
	}
	elements, leaf, used, err := boltElements(b)
	if err == nil && (used+w.page-1)/w.page*w.page != uint64(len(b)) {
		err = errors.New("it is longer than what it holds")
	}
	if n := len(elements); err == nil && n > 0 &&
		(bytes.Compare(elements[0].key, low) < 0 || (high != nil && bytes.Compare(elements[n-1].key, high) >= 0)) {
		err = errors.New("its keys belong elsewhere")
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	if leaf {
		for _, e := range elements {
			if err := each(e); err != nil {
				return fmt.Errorf("page %d: %w", id, err)
			}
		}
		return nil
	}
	for i := range elements { // the next page takes their place in memory
		elements[i].key = bytes.Clone(elements[i].key)
	}
	for i, e := range elements {
		next := high
		if i+1 < len(elements) {
			next = elements[i+1].key
		}
		if err := w.tree(e.child, e.key, next, each); err != nil {
			return err
		}
	}
	return nil
}
