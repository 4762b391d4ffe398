package password

// Block takes the place of a hash until release is called.
func (h *Hasher) Block() (release func()) {
	h.admitted <- struct{}{}
	h.running <- struct{}{}
	return func() {
		<-h.running
		<-h.admitted
	}
}
