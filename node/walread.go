package node

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// How much is read of a log at once: where an entry is asked for behind the one
// before, and where it is not. An entry that is longer is read by raft-wal.
const (
	readAhead = 256 << 10
	readAlone = 16 << 10
)

// walFiler reads ahead in the segments that are there when a node starts. It reads
// its log from end to end, three times: its own check, raft's search for the
// members, and then what is to be applied. raft-wal reads 64 KiB for each entry, however
// short it is, and where a sealed segment has it in a read of its own: a log of single writes
// took longer to read than to apply.
type walFiler struct {
	types.SegmentFiler
	dir     string
	window  walWindow
	removed *walRemover
}

func newWALFiler(dir string, r *walRemover) *walFiler {
	return &walFiler{SegmentFiler: segment.NewFiler(dir, walfs.New()), dir: dir, removed: r}
}

// Open implements types.SegmentFiler.
func (f *walFiler) Open(info types.SegmentInfo) (types.SegmentReader, error) {
	plain, err := f.SegmentFiler.Open(info)
	if err != nil {
		return nil, err
	}
	r := f.ahead(info, plain)
	r.offset, r.last = r.sealedOffset, func() uint64 { return info.MaxIndex }
	return r, nil
}

// RecoverTail implements types.SegmentFiler.
func (f *walFiler) RecoverTail(info types.SegmentInfo) (types.SegmentWriter, error) {
	plain, err := f.SegmentFiler.RecoverTail(info)
	index, ok := plain.(interface{ OffsetForFrame(uint64) (uint32, error) })
	if err != nil || !ok {
		return plain, err
	}
	r := f.ahead(info, plain)
	r.offset, r.last = index.OffsetForFrame, plain.LastIndex
	return walTail{plain, r}, nil
}

func (f *walFiler) ahead(info types.SegmentInfo, plain types.SegmentReader) *walReader {
	return &walReader{plain: plain, info: info, path: filepath.Join(f.dir, segment.FileName(info)), window: &f.window}
}

// walTail is the segment that is written to.
type walTail struct {
	types.SegmentWriter
	ahead *walReader
}

// GetLog implements types.SegmentReader.
func (t walTail) GetLog(index uint64) (*types.PooledBuffer, error) { return t.ahead.GetLog(index) }

// Close implements io.Closer.
func (t walTail) Close() error { return t.ahead.Close() }

// walReader reads one segment. Whatever it does not find as it should be, raft-wal
// is asked for: it says what is wrong.
type walReader struct {
	plain  types.SegmentReader
	info   types.SegmentInfo
	path   string
	offset func(index uint64) (uint32, error) // where an entry's frame begins
	last   func() uint64                      // the last entry that is on disk for good
	window *walWindow                         // of all segments
}

// GetLog implements types.SegmentReader. The window is locked until the entry is closed.
func (r *walReader) GetLog(index uint64) (*types.PooledBuffer, error) {
	if index < r.info.BaseIndex || index > r.last() { // raft-wal asks its newest segment first
		return r.plain.GetLog(index)
	}
	r.window.mu.Lock()
	if b := r.window.entry(r, index); b != nil {
		return &types.PooledBuffer{Bs: b, CloseFn: r.window.mu.Unlock}, nil
	}
	r.window.mu.Unlock()
	return r.plain.GetLog(index)
}

// Close implements io.Closer.
func (r *walReader) Close() error {
	r.window.mu.Lock()
	r.window.leave(r)
	r.window.mu.Unlock()
	return r.plain.Close()
}

// sealedOffset looks into the index that a sealed segment ends with.
func (r *walReader) sealedOffset(index uint64) (uint32, error) {
	if r.info.IndexStart == 0 || index < r.info.MinIndex {
		return 0, types.ErrNotFound
	}
	b := r.window.offsets.read(r.window.file, int64(r.info.IndexStart+4*(index-r.info.BaseIndex)), 4, readAlone)
	if b == nil {
		return 0, types.ErrNotFound
	}
	return binary.LittleEndian.Uint32(b), nil
}

// walWindow is what was read last of a log: of one segment at a time.
type walWindow struct {
	mu      sync.Mutex
	of      *walReader
	file    *os.File
	known   uint64 // the last entry that was on disk before what follows was read
	offsets piece
	frames  piece
	next    int64 // where the frame begins that follows the last one, or a commit before it
}

// leave forgets a segment.
func (w *walWindow) leave(r *walReader) {
	if w.of == r {
		_ = w.file.Close() // it was read only
		w.of, w.file, w.offsets.b, w.frames.b, w.next = nil, nil, nil, nil, 0
	}
}

// entry returns the bytes of an entry, or nil.
func (w *walWindow) entry(r *walReader, index uint64) []byte {
	if w.of != r {
		f, err := os.Open(r.path)
		if err != nil {
			return nil
		}
		if w.of != nil {
			w.leave(w.of)
		}
		w.of, w.file, w.known = r, f, 0
	}
	// What is not there for good may be written over, by entries of other leaders.
	if index > w.known {
		w.known, w.frames.b = r.last(), nil
	}
	start, err := r.offset(index)
	if err != nil || index > w.known {
		return nil
	}
	at, ahead := int64(start), readAlone
	if at == w.next || at == w.next+frameHead {
		ahead = readAhead
	}
	head := w.frames.read(w.file, at, frameHead, ahead)
	if head == nil || head[0] != segment.FrameEntry {
		return nil
	}
	length := int64(binary.LittleEndian.Uint32(head[4:]))
	if length > readAhead-frameHead {
		return nil
	}
	b := w.frames.read(w.file, at, frameHead+int(length), max(ahead, frameHead+int(length)))
	if b == nil {
		return nil
	}
	w.next = at + frameHead + (length+frameHead-1)/frameHead*frameHead
	return b[frameHead:]
}

// piece is a piece of a file.
type piece struct {
	at int64
	b  []byte
}

// read returns n bytes of a file from a place on, nil where they are not there. Where
// they are not in the piece, that begins there, and is ahead bytes long.
func (p *piece) read(f io.ReaderAt, at int64, n, ahead int) []byte {
	if at < p.at || at+int64(n) > p.at+int64(len(p.b)) {
		if cap(p.b) < ahead {
			p.b = make([]byte, ahead)
		}
		got, err := f.ReadAt(p.b[:ahead], at)
		p.at, p.b = at, p.b[:got]
		if got < n || err != nil && !errors.Is(err, io.EOF) {
			p.b = p.b[:0]
			return nil
		}
	}
	return p.b[at-p.at:][:n:n]
}
