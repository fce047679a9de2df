//go:build !race

package sock

// See order_race.go.
func sending()  {}
func received() {}
