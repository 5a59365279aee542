// Package transfer changes who owns a code.
//
// A claim of a code that nobody owned, a move between two owners, and a slot that is dealt to
// another region are each a sequence of steps, logged in turn by those who give up, by those who
// take, and by the directory; the leader of one of them drives it. After a restore what was
// forgotten is compared, reported or fetched.
//
// Guarantees:
//   - A step is logged before the next one is tried, and each may be repeated: any leader can go on
//     from any point.
//   - Between the steps a code has one owner that decides, or none that answers.
//   - Nothing is erased where a citizen was before the directory names who has it.
//
// Map of the files:
//
//	transfer.go     Transfer, its calls, its concerns
//	claim.go        the leader drives claims and directory updates
//	handover.go     what an anchor hands over, and its import
//	owners.go       the leader holds the region's log against the directory, all the time
//	move.go         citizens' moves: the calls, and what a new owner takes
//	movedrive.go    the leader drives moves away from its region
//	movecopy.go     what a move's old region still has, fetched after a restore
//	movestats.go    the moves' metrics
//	deal.go         of which slots the region decides, and dealing them
//	slots.go        anchor slots: granted, taken over, handed over
//	compare.go      a restored region's codes are compared with the directory
//	report.go       a region's codes are reported to a restored federation
package transfer
