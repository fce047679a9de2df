// Package fuzzkit is what the fuzz targets of several packages share: a connection
// in memory, a strict reader of HTTP to compare with, and what must hold of every
// program's settings file. Only tests import it; what is fuzzed, and what must
// hold of it, is for them to say.
package fuzzkit
