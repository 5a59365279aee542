//go:build !unix

package sender

import "os"

// lock does nothing here: one run at a time is up to the user.
func lock(*os.File) error { return nil }
