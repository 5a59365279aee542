package torture

// homeOf is the region of a process.
func (t *trial) homeOf(id string) string {
	for _, e := range t.ends {
		if e.ID == id {
			return e.Region
		}
	}
	return ""
}

// nodes are the names of all nodes, gatewayIDs those of all gateways, in those of a region.
func (t *trial) nodes() []string { return t.named("", false) }

func (t *trial) gatewayIDs() []string { return t.named("", true) }

func (t *trial) nodesOf(region string) []string { return t.named(region, false) }

func (t *trial) in(region string) []string {
	return append(t.named(region, false), t.named(region, true)...)
}

func (t *trial) named(region string, gateway bool) (ids []string) {
	for _, e := range t.ends {
		if e.Gateway == gateway && (region == "" || e.Region == region) {
			ids = append(ids, e.ID)
		}
	}
	return ids
}
