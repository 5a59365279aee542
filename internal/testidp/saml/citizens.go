package saml

import (
	"sync"

	"github.com/staffetta/staffetta/internal/testidp"
)

// Citizen is a person who does not exist.
type Citizen = testidp.Citizen

// Citizens are ten, always the same. They must not be changed.
var Citizens = sync.OnceValue(func() []Citizen { return testidp.Citizens(1) })
