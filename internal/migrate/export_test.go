package migrate

// WriteWith writes the plan and calls step before each change of the disk.
func (p *Plan) WriteWith(step func(what string) error) error {
	_, err := p.write(step)
	return err
}
