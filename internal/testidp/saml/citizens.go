package saml

import (
	"sync"

	"github.com/staffetta/staffetta/internal/synthetic"
)

// Citizen is a person who does not exist.
type Citizen struct{ Code, Name, FamilyName, DateOfBirth, Email string }

// Citizens are ten, always the same: the first ones of the citizens that are invented for local
// federations. They must not be changed.
var Citizens = sync.OnceValue(func() []Citizen {
	invented := synthetic.NewCitizens(1)
	all := make([]Citizen, 10)
	for i := range all {
		c := invented.Next()
		all[i] = Citizen{Code: string(c.FiscalCode), Name: c.Name, FamilyName: c.FamilyName,
			DateOfBirth: c.DateOfBirth, Email: "citizen" + string(rune('0'+i)) + "@example.org"}
	}
	return all
})
