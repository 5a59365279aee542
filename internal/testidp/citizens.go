package testidp

import (
	"fmt"

	"github.com/staffetta/staffetta/internal/synthetic"
)

// CitizensCount is how many citizens the provider knows.
const CitizensCount = 10

// Citizen is a person who does not exist.
type Citizen struct {
	Code, Name, FamilyName, DateOfBirth, Email string
}

// Citizens are those of a seed, always the same: the first ones that a local federation of this
// seed invents.
func Citizens(seed uint64) []Citizen {
	invented := synthetic.NewCitizens(seed)
	all := make([]Citizen, CitizensCount)
	for i := range all {
		c := invented.Next()
		all[i] = Citizen{Code: string(c.FiscalCode), Name: c.Name, FamilyName: c.FamilyName,
			DateOfBirth: c.DateOfBirth, Email: fmt.Sprintf("citizen%d@example.org", i)}
	}
	return all
}
