package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// raft-wal v0.4.0 leaves segments that it cannot use after a restart:
//
// Where entries are removed from the end of the log (raft meets a conflict), it
// calls the segment that they were in sealed, and writes no index into it: "sealed
// segment has no index block", for every entry before the conflict too
// (raft-wal issue 31). And where it ended between sealing a full segment and noting
// that beside it, it takes no entry any more: "segment is sealed".
//
// mendSegments writes the index that is missing behind the end of such a segment,
// and notes a seal that was not noted. It says whether it has changed anything; the
// state must then be kept before raft-wal sees it.
func mendSegments(dir string, s types.PersistentState) (types.PersistentState, bool, error) {
	changed := false
	for i := range s.Segments {
		info := &s.Segments[i]
		tail := info.SealTime.IsZero()
		if !tail && info.IndexStart != 0 {
			continue
		}
		path := filepath.Join(dir, segment.FileName(*info))
		entries, sealed, err := scanSegment(path)
		if tail && (errors.Is(err, os.ErrNotExist) || (err == nil && (!sealed || len(entries) == 0))) {
			continue // raft-wal goes on with it, or makes it
		}
		if err == nil && !tail {
			if want := info.MaxIndex + 1 - info.BaseIndex; uint64(len(entries)) >= want {
				entries = entries[:want]
			} else {
				err = fmt.Errorf("it has %d entries of %d", len(entries), want)
			}
		}
		if err == nil {
			info.IndexStart, err = appendIndex(path, entries)
		}
		if err != nil {
			return s, false, unreadable(filepath.Dir(dir), path, err)
		}
		changed = true
		if tail {
			info.SealTime, info.MaxIndex = time.Now(), info.BaseIndex+uint64(len(entries))-1
			s.Segments = append(s.Segments, types.SegmentInfo{
				ID: s.NextSegmentID, BaseIndex: info.MaxIndex + 1, MinIndex: info.MaxIndex + 1,
				Codec: info.Codec, CreateTime: time.Now(), SizeLimit: info.SizeLimit,
			})
			s.NextSegmentID++
			break
		}
	}
	return s, changed, nil
}

// What is read here of raft-wal's segments: a header of 32 bytes, then frames, each
// with a head of 8, type and length, or type and checksum (raft-wal/segment/format.go).
const (
	segmentHead = 32
	frameHead   = 8
)

// scanSegment finds the entries of a segment that were committed, by where they
// begin, and says whether it was sealed. As raft-wal does, it takes a last commit
// whose checksum is wrong for one that a crash has cut short; whether something is
// missing is for the log's check to find.
func scanSegment(path string) (entries []uint32, sealed bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	type commit struct {
		from, at int64
		sum      uint32
		entries  int
	}
	var last, before commit
	at, from := int64(segmentHead), int64(0)
	for {
		var head [frameHead]byte
		if _, err := f.ReadAt(head[:], at); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, false, err
		}
		length, end := binary.LittleEndian.Uint32(head[4:]), false
		switch head[0] {
		case segment.FrameEntry:
			entries = append(entries, uint32(at))
		case segment.FrameIndex:
			sealed = true
		case segment.FrameCommit:
			before, last = last, commit{from, at, length, len(entries)}
			length, from = 0, at+frameHead
		default:
			end = true
		}
		if end {
			break
		}
		at += frameHead + (int64(length)+frameHead-1)/frameHead*frameHead
	}
	if last.entries == len(entries) && last.at > 0 {
		sum := crc32.New(castagnoli)
		if _, err := io.Copy(sum, io.NewSectionReader(f, last.from, last.at-last.from)); err != nil {
			return nil, false, err
		}
		if sum.Sum32() != last.sum {
			last = before
		}
	}
	return entries[:last.entries], sealed, nil
}

// appendIndex writes where entries begin behind the end of a segment, and returns
// where that is.
func appendIndex(path string, entries []uint32) (start uint64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	end = max(frameHead, (end+frameHead-1)/frameHead*frameHead)
	var b []byte
	for _, at := range entries {
		b = binary.LittleEndian.AppendUint32(b, at)
	}
	if _, err := f.WriteAt(b, end); err != nil {
		return 0, err
	}
	return uint64(end), f.Sync()
}
