// Package measure offers load to any system and measures what the system's processes spend on
// it, with nothing but what Linux tells of every process.
//
// A Loop is closed: each of its workers keeps a fixed number of requests under way, and begins
// the next one when the oldest is acknowledged. The first request that fails ends it with an
// error, so that no figure is made of requests that were refused.
//
// Files:
//
//	bodies.go   the messages
//	loop.go     the closed loop
//	usage.go    processor time and bytes written of process trees and of a disk
//	syncs.go    counting fsyncs by tracing
package measure
