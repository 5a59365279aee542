// Package renewal renews certificates before they expire, without anybody attending.
//
// A holder (a node or a gateway) makes a new key when a third of its certificate's life is left,
// and asks its region's leader, over the link that the old certificate authenticates. The leader
// keeps the question in memory for the region's renewer, an operator's process beside the
// authority's key, which signs what is in order; the certificate goes back the same way.
//
// Guarantees:
//   - A request carries the old certificate and a signature with its key, so that a renewer
//     believes neither the leader nor who carried it: nobody gets one of another's identity.
//   - What is signed is for the identity that asked, which is on the map, not revoked, and of a
//     region that the authority speaks for; and it is held against all of that again by the leader
//     and by the holder before it is used.
//   - The old pair stays in use until the new one is on disk whole; see ca.Pair.
//
// Map of the files:
//
//	ask.go      a request, and what makes it good
//	holder.go   when to ask, and what to do with the answer
//	renewer.go  the process that signs
package renewal
