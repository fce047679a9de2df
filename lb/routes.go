package lb

import "bytes"

// routes tells reads from writes.
type routes struct {
	methods [][]byte
	paths   []readPath
	multi   readPath // a read where the backends are dengine nodes
}

// multiGet is how dengine nodes are asked for several keys at once. To another
// service the same request may be a write.
const multiGet = "POST /kv/get"

type readPath struct{ method, path []byte }

func newReadPath(s string) readPath {
	method, path, _ := bytes.Cut([]byte(s), []byte(" "))
	return readPath{method, path}
}

// is compares without the query of the target.
func (p readPath) is(method, target []byte) bool {
	if !bytes.Equal(p.method, method) || !bytes.HasPrefix(target, p.path) {
		return false
	}
	return len(target) == len(p.path) || target[len(p.path)] == '?'
}

func newRoutes(cfg Config) routes {
	r := routes{multi: newReadPath(multiGet)}
	for _, m := range cfg.ReadMethods {
		r.methods = append(r.methods, []byte(m))
	}
	for _, p := range cfg.ReadPaths {
		r.paths = append(r.paths, newReadPath(p))
	}
	return r
}

// classify looks at the method and the target in origin form. dengine says that
// the backends are dengine nodes.
func (r *routes) classify(method, target []byte, dengine bool) class {
	for _, m := range r.methods {
		if bytes.Equal(m, method) {
			return classRead
		}
	}
	for _, p := range r.paths {
		if p.is(method, target) {
			return classRead
		}
	}
	if dengine && r.multi.is(method, target) {
		return classRead
	}
	return classWrite
}
