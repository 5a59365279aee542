package store

// Rewinder is a stream of Checkpoint, which can be read again from its beginning.
type Rewinder interface {
	Rewind() error
}

// Rewind begins the stream again. What it gives is the same, byte for byte.
func (s *sender) Rewind() error {
	if s.done {
		return ErrClosed
	}
	var err error
	if s.open != nil {
		err = s.open.Close()
	}
	s.open, s.files, s.left, s.sum = nil, s.all, 0, 0
	s.head.Reset()
	s.head.Write(s.begin)
	return err
}
