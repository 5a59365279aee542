package fiscalcode

// Values of the characters at odd positions (counted from one), DM 23 December 1976: index by
// digit for 0-9 and by letter for A-Z; a digit has the value of the letter of the same rank.
var odd = [26]int{1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10,
	22, 25, 24, 23}

// CheckCharacter computes the sixteenth character from the first fifteen, as written
// (omocodia letters included). The wire does not enforce it: the contract's own test citizens
// break it. It serves generators of synthetic codes.
func CheckCharacter(first15 string) byte {
	sum := 0
	for i := 0; i < 15 && i < len(first15); i++ {
		v := int(first15[i] - 'A')
		if first15[i] <= '9' {
			v = int(first15[i] - '0')
		}
		if i%2 == 0 {
			v = odd[v]
		}
		sum += v
	}
	return byte('A' + sum%26)
}
