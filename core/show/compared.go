package show

// Compared is the stock of a SKU in Redis and in MySQL, side by side. A side that does not know the SKU is null.
type Compared struct {
	SKU    ID          `json:"sku_id"`
	Sale   ID          `json:"sale_id,omitzero"`
	Shut   string      `json:"shut,omitempty"` // fenced or breached: nothing happens to the SKU until somebody repairs it
	Redis  *Cell       `json:"redis"`
	MySQL  *Projection `json:"mysql"`
	Status string      `json:"status"`
	Behind int64       `json:"events_behind,omitempty"`
}

// Projection is the stock of a SKU after the events that MySQL has.
type Projection struct {
	Total       int64  `json:"total"`
	Avail       int64  `json:"avail"`
	Held        int64  `json:"held"`
	Sold        int64  `json:"sold"`
	SafeStock   int64  `json:"safe_stock"`
	WarehouseID int64  `json:"warehouse_id"`
	LastUpdated Moment `json:"last_updated"` // Redis time of the last of these events
	Epoch       uint32 `json:"epoch"`
	Seq         uint64 `json:"seq"`
}

// Shut has the cells that are shut until somebody repairs them. It counts all and shows some.
type Shut struct {
	Fenced     int64  `json:"fenced"`
	Breached   int64  `json:"breached"`
	Data       []Cell `json:"data"`
	AsOf       Moment `json:"as_of"`                    // everything that was shut by then is counted
	Partitions []int  `json:"shut_partitions,omitzero"` // partitions that are shut as a whole: nothing is known of their cells
}
