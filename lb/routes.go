package lb

import "bytes"

// routes tells reads from writes.
type routes struct {
	methods [][]byte
	paths   []readPath
}

type readPath struct{ method, path []byte }

func newRoutes(cfg Config) routes {
	var r routes
	for _, m := range cfg.ReadMethods {
		r.methods = append(r.methods, []byte(m))
	}
	for _, p := range cfg.ReadPaths {
		method, path, _ := bytes.Cut([]byte(p), []byte(" "))
		r.paths = append(r.paths, readPath{method, path})
	}
	return r
}

// classify looks at the method and the target in origin form.
func (r *routes) classify(method, target []byte) class {
	for _, m := range r.methods {
		if bytes.Equal(m, method) {
			return classRead
		}
	}
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		target = target[:i]
	}
	for _, p := range r.paths {
		if bytes.Equal(p.method, method) && bytes.Equal(p.path, target) {
			return classRead
		}
	}
	return classWrite
}
