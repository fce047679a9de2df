//go:build !race

package main_test

// raceFlag has the programs under test built as the tests are.
var raceFlag []string
