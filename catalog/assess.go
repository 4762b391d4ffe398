package catalog

import (
	"fmt"
	"time"

	"sluice/catalog/account"
	"sluice/catalog/assess"
)

// rulesPause is the time between two looks at the file of rules.
const rulesPause = 10 * time.Second

// openAssessments reads the rules by which the shop assesses people. It does not start with wrong ones.
func (n *Node) openAssessments(secret *account.Secret) (err error) {
	n.assess, err = assess.New(assess.Config{
		Databases: n.databases, File: n.cfg.AssessRulesFile, Index: secret.IndexMessage, Metrics: n.set, Log: n.log,
	})
	if err != nil {
		return fmt.Errorf("%w (--assess-rules-file)", err)
	}
	return nil
}
