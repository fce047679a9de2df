package node

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever stands in the two files that say whose a data folder is and what it knows
// of the others, the folder is refused by name, or is what it is the second time too.
func FuzzDataFolder(f *testing.F) {
	f.Add([]byte(`{"format":1,"cluster":"dengine","id":"n1","incarnation":"ab","log_store":"bolt","joined":true}`), []byte(`{"n2":"cd"}`))
	f.Add([]byte(`{"format":1,"cluster":"dengine","id":"n1","log_store":"bolt","patience":1e9,"lost":"n2"}`), []byte(`null`))
	f.Add([]byte(`{"format":2}`), []byte(`{`))
	f.Add([]byte(`[]`), []byte(`{"n2":1}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, identity, peers []byte) {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, identityFile), identity, 0o600), os.WriteFile(filepath.Join(dir, peersFile), peers, 0o600)); err != nil {
			t.Fatal(err)
		}
		first, err := reopen(dir)
		if err != nil {
			if !strings.Contains(err.Error(), dir) {
				t.Errorf("%q, %q: the error does not say where it is: %v", identity, peers, err)
			}
			return
		}
		second, err := reopen(dir)
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%q, %q is %s, and then %s (%v)", identity, peers, first, second, err)
		}
	})
}

// reopen opens a folder as a node does at its start, writes both files again, and
// returns what they hold.
func reopen(path string) (text []byte, err error) {
	d, err := openDataDir(path, "dengine", "n1", LogStoreBolt)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	m, err := openMemory(d.file(peersFile), d.id.Joined, d.id.Rejoined)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(d.saveIdentity(), writeJSON(m.path, m.peers)); err != nil {
		return nil, err
	}
	for _, name := range []string{identityFile, peersFile} {
		b, err := os.ReadFile(d.file(name))
		if err != nil {
			return nil, err
		}
		text = append(text, b...)
	}
	return text, nil
}
