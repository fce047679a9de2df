package edge

// Flock is requests of one Bundle that are answered together, past the server: for
// some of a usual kind that is done at a fraction of the cost. What a Flock takes it
// must understand just as the server would, and answer as that.
type Flock interface {
	// Take says whether a request joins. It must not keep the request, which may
	// be anything, and is called by one goroutine at a time.
	Take(request []byte) bool
	// Answer waits until all that joined are decided. It calls put with the answer
	// to each, in the order of Take; put keeps nothing of it. The Flock is not
	// used any more after that.
	Answer(put func(answer []byte))
}

// flock is a Flock of a Bundle.
type flock struct {
	Flock
	places []uint32 // of the requests
	frames []byte   // their answers
}

// joins says whether a request joins the flock that gathers.
func (b *Bundle) joins(request []byte) bool {
	if b.quick == nil {
		return false
	}
	if b.flock == nil {
		b.flock = b.flocks.Get().(*flock) //nolint:forcetypeassert // New makes nothing else
		b.flock.Flock = b.quick()
	}
	return b.flock.Take(request)
}

// let has the flock that gathers answered: more may be long in coming.
func (b *Bundle) let() {
	f := b.flock
	if f == nil || len(f.places) == 0 {
		return
	}
	b.flock = nil
	b.wg.Go(func() {
		f.answer(b)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.live -= len(f.places)
		b.endIfDone()
		b.keep(f)
	})
}

func (f *flock) answer(b *Bundle) {
	n := 0
	f.Answer(func(answer []byte) {
		if len(answer) == 0 || len(answer) > MaxMessage {
			_ = b.end()
		}
		f.frames = appendFrame(f.frames, f.places[n], answer)
		n++
	})
	b.mu.Lock()
	for _, at := range f.places {
		b.flying[at] = false
	}
	b.mu.Unlock()
	b.outbox.putAll(f.frames)
}

// keep keeps the room of a flock for another one.
func (b *Bundle) keep(f *flock) {
	if cap(f.frames) <= keepOut {
		*f = flock{places: f.places[:0], frames: f.frames[:0]}
		b.flocks.Put(f)
	}
}
