// Package benchmark is what the programs in bench share: a closed loop of
// requests, what it costs whom, the machine that it ran on, and how rounds of
// measurements become medians, ratios, tables and files. What to measure, and what
// the figures should be, is for those programs to say.
package benchmark
