package config

// Ops is the port for operators: health, metrics and profiles. It has no access control of its own. Each role sets
// ops_listen, its default, to another port.
type Ops struct {
	Listen string `name:"ops-listen" env:"SLUICE_OPS_LISTEN" group:"Operations" default:"${ops_listen}"`
}

// Validate joins all faults of the group.
func (o Ops) Validate() error {
	var f Faults
	HostPort(&f, "ops-listen", o.Listen)
	return f.Err()
}

// Log says how a process logs, on stderr. It belongs to the root of the command line.
type Log struct {
	Level  string `name:"log-level" env:"SLUICE_LOG_LEVEL" group:"Operations" default:"info"`
	Format string `name:"log-format" env:"SLUICE_LOG_FORMAT" group:"Operations" default:"text"`
}

// Validate joins all faults of the group.
func (l Log) Validate() error {
	var f Faults
	OneOf(&f, "log-level", l.Level, "debug", "info", "warn", "error")
	OneOf(&f, "log-format", l.Format, "text", "json")
	return f.Err()
}
