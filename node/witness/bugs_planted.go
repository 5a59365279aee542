//go:build planted

package witness

import bugs "github.com/staffetta/staffetta/internal/planted"

// planted lets every directory in.
func planted() bool { return bugs.Is(bugs.TrustedDisk) }
