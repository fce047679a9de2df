// Package once is an HTTP client for loads and histories: it sends every request
// once and no more, and says what became of it. net/http repeats some requests by
// itself, and what failed would not be seen. What the answers mean for a cluster
// is left to others.
package once
