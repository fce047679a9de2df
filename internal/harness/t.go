package harness

// T is what the harness needs of whoever uses it: a test or a benchmark
// (testing.TB has it all), or a program (Program).
type T interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	Cleanup(func())
	TempDir() string
}

// keeper is a T that keeps what processes printed somewhere better than among
// its own output.
type keeper interface{ Keep(name, text string) }

// halter is a T that can be told to end while it runs.
type halter interface{ Halted() bool }
