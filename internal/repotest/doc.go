// Package repotest holds the repository to its own rules, by tests alone: which package may
// import which, what the sources look like, and that documents and code say the same.
//
// It stands apart from what it tests because its rules are about all packages at once, and
// because it reads them from outside: through the go command, the source files, and the binary.
//
// Map of the files:
//
//	repo_test.go      the repository's root, its packages and its binary
//	imports_test.go   the arrows between packages, with their reasons
//	sources_test.go   comments, sizes, form
//	names_test.go     capitals, and names that are questions
//	documents_test.go glossary, dependencies, links, maps of files
//	metrics_test.go   docs/metrics.md against what is registered
//	flags_test.go     every documented command line against the binary
//	snippets_test.go  the commands of README.md, run
//	operating_test.go those of docs/operating.md, run, and refusals to start
//	blocks_test.go    the code blocks of documents
package repotest
