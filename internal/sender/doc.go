// Package sender delivers a file of messages to a gateway, each of them once.
//
// A file has one message a line, a NewMessage of the institutions' contract with its
// fiscal_code. Lines are sent many in a bulk request, or one by one to a gateway that takes none,
// and answered, in the order of the input, by one result line each.
//
// Guarantees:
//
//   - A line becomes at most one message, whatever is retried, interrupted or run again: every
//     attempt carries an idempotency key that follows from the line alone (key.go), so a second
//     copy meets the first one's verdict. Two identical lines of one file are two messages.
//   - A result line is written once the outcome is known, and after those of all earlier lines.
//     Running again with the same results file finishes the rest, and tries again those lines
//     that had ended for lack of an answer. Results of another file are refused.
//   - Memory does not grow with the length of lines and little with their number: a window of
//     lines is held, with 32 MiB of text, and eight to twenty bytes for each line seen.
//
// Files:
//
//	config.go     what a run needs
//	run.go        a run: feed, workers, writer
//	lines.go      the input, cut into bounded lines
//	key.go        what names a line for ever
//	queue.go      lines that wait to be sent, or sent again
//	transport.go  connections to the gateway
//	bulk.go       one request of many lines
//	attempt.go    one of a single line, and what an answer means
//	retry.go      when to try again
//	results.go    the results file: resume, check, append
//	stats.go      counts and the summary
//	progress.go   the progress line of a terminal
package sender
