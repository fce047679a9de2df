package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// boltElement is a key with its value, or with the page that continues from it.
type boltElement struct {
	flags      uint32
	key, value []byte
	child      uint64
}

// boltElements reads the elements of a branch or a leaf, b, and says how many of
// its bytes they take. bbolt writes keys and values in the order of the elements
// and close together, so that a count that has changed does not fit.
func boltElements(b []byte) (elements []boltElement, leaf bool, used uint64, err error) {
	le := binary.LittleEndian
	if len(b) < boltHead {
		return nil, false, 0, errors.New("it is too short")
	}
	flags, count := le.Uint16(b[8:]), uint64(le.Uint16(b[10:]))
	leaf = flags == boltLeaf
	at := boltHead + boltHead*count
	if (!leaf && flags != boltBranch) || (!leaf && count == 0) || at > uint64(len(b)) {
		return nil, false, 0, errors.New("it is neither a branch nor a leaf")
	}
	elements = make([]boltElement, count)
	for i := range elements {
		begin := boltHead + boltHead*uint64(i)
		e, pos, keyBytes, valueBytes := readElement(b[begin:], leaf)
		if begin+pos != at || keyBytes == 0 || keyBytes+valueBytes > uint64(len(b))-at {
			return nil, false, 0, fmt.Errorf("its element %d is not where it should be", i)
		}
		e.key = b[at : at+keyBytes]
		e.value = b[at+keyBytes : at+keyBytes+valueBytes]
		at += keyBytes + valueBytes
		if i > 0 && bytes.Compare(elements[i-1].key, e.key) >= 0 {
			return nil, false, 0, fmt.Errorf("its element %d is not in order", i)
		}
		elements[i] = e
	}
	return elements, leaf, at, nil
}

// readElement reads an element's head: where its key begins, counted from the head,
// and how long key and value are.
func readElement(b []byte, leaf bool) (e boltElement, pos, keyBytes, valueBytes uint64) {
	le := binary.LittleEndian
	if leaf {
		e.flags = le.Uint32(b)
		return e, uint64(le.Uint32(b[4:])), uint64(le.Uint32(b[8:])), uint64(le.Uint32(b[12:]))
	}
	e.child = le.Uint64(b[8:])
	return e, uint64(le.Uint32(b)), uint64(le.Uint32(b[4:])), 0
}

// checkInline looks at a bucket that is so small that it is kept in its parent.
func checkInline(b []byte) error {
	elements, leaf, used, err := boltElements(b)
	if err != nil {
		return err
	}
	if !leaf || used != uint64(len(b)) {
		return errors.New("a small bucket is not what it should be")
	}
	for _, e := range elements {
		if err := plainElement(e); err != nil {
			return err
		}
	}
	return nil
}

func plainElement(e boltElement) error {
	if e.flags != 0 {
		return errors.New("a key has a bucket where its value should be")
	}
	return nil
}
