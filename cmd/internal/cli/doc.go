// Package cli is what the command lines of Staffetta have in common: how a program starts and ends,
// where its flags have their values from, and how it prints.
//
//	root.go           a program: its root command, one command line, exit codes
//	settings.go       flags from the environment, from a file and from elsewhere
//	settings_file.go  the form of such a file
//	flags.go          flags that several programs have: of logs, of a service's key
//	print.go          reports as text or JSON
//	version.go        the command version
//	man.go            the command man: manual pages
//
// Beside it, package admin has an operator's commands, and package server those that run a node and
// a gateway.
package cli
