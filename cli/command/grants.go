package command

import (
	"cmp"
	"errors"

	"sluice/core/schema"
)

// Grants prints the statements that give accounts of MySQL their roles.
type Grants struct {
	Role     string `placeholder:"ROLE" help:"Print the statements of one role: migrate, persister, edge, operator, archive or shop. Defaults to all roles."`
	Database string `default:"sluice" placeholder:"NAME" help:"Database that has the tables."`
	User     string `placeholder:"NAME" help:"Account that gets the role that --role names. Defaults to sluice_ and the name of the role."`
	Host     string `default:"%" placeholder:"HOST" help:"Where the account connects from, as CREATE USER had it."`
}

// Help is called by kong.
func (Grants) Help() string {
	return `Prints SQL and asks no server. Run it as a user that may grant, after sluice migrate has made the tables. The whole
list can be given again at any time.

Examples:
  sluice grants --database shop | mysql -u root -p
  sluice grants --role edge --user edge2 --host 10.0.0.%`
}

// Validate reports a wrong value.
func (g *Grants) Validate() error {
	if g.User != "" && g.Role == "" {
		return errors.New("--user needs --role: an account has one role")
	}
	_, err := g.statements(schema.Role(cmp.Or(g.Role, string(schema.RoleMigrate))))
	return err
}

// Run is called by kong.
func (g *Grants) Run(c *Console) error {
	roles := schema.Roles
	if g.Role != "" {
		roles = []schema.Role{schema.Role(g.Role)}
	}
	for i, role := range roles {
		statements, err := g.statements(role)
		if err != nil {
			return err
		}
		if i > 0 {
			c.Printf("\n")
		}
		for _, s := range statements {
			c.Printf("%s;\n", s)
		}
	}
	return nil
}

func (g *Grants) statements(role schema.Role) ([]string, error) {
	return Schemas().Statements(role, g.Database, cmp.Or(g.User, role.Account()), g.Host)
}
