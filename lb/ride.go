package lb

import "time"

// ride is a write's part in a bundle, which owns it until its end. Then whoever waits for
// that is told: a goroutine, over done, or a worker.
type ride struct {
	done  chan error // has room for one
	since time.Time
	by    time.Time // its answer must have come
	block []byte    // the whole answer, where it ends with none of the errors

	worker *worker // nil: a goroutine waits
	err    error   // how it ended

	// These belong to the worker.
	of     *bundle
	seat   *seat // whose write it is, also after its client has left
	over   bool  // it has come to its end
	ticket ticket
}

// end says how it ended.
func (r *ride) end(err error) {
	if r.worker == nil {
		r.done <- err
		return
	}
	r.err = err
	r.worker.tell(r)
}

// drop gives the number back: nobody will ask for its answer any more.
func (r *ride) drop() { r.ticket.finish() }

// tell has the worker look at a ride that has ended.
func (w *worker) tell(r *ride) {
	if !w.told.Leave(r) {
		r.drop()
	}
}
