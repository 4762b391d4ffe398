package edge

import (
	"context"

	"sluice/core/lifecycle"
	"sluice/edge/front"
)

// serveCatalog keeps answers of the catalog, if the edge knows where that is.
func (n *Node) serveCatalog(background *lifecycle.Group) error {
	if n.cfg.Catalog.URL == "" {
		return nil
	}
	var err error
	n.front, err = front.New(front.Parts{Config: n.cfg.Catalog, Brokers: n.cfg.Kafka.Brokers, Metrics: n.set, Log: n.log})
	if err != nil {
		return err
	}
	n.parts.Later("forget the catalog", func(context.Context) error { n.front.Close(); return nil })
	background.Run("catalog", n.front.Run)
	return nil
}
