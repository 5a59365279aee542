package contract

import "github.com/staffetta/staffetta/internal/fiscalcode"

// Sandbox is the fiscal code that the contract's documents send tests to. It is nobody's: its day
// of birth is the 0th, its check character wrong. It is among every service's authorized
// recipients, so that an institution on trial may write to it.
const Sandbox fiscalcode.Code = "AAAAAA00A00A000A"
