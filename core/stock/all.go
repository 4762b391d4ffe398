package stock

import "context"

// Decision is what became of one request.
type Decision struct {
	Outcome
	Err error // if not nil, Outcome means nothing
}

// DoAll decides requests of one operation, whatever their partitions, in one call of the store.
func DoAll(ctx context.Context, s Store, op Op, requests []Request) []Decision {
	open := map[int]*Vector{} // per partition, the vector that still has room
	var vectors []*Vector
	places := map[*Vector][]int{} // where each vector's requests came from
	for i := range requests {
		partition := requests[i].ID.Partition()
		v := open[partition]
		if v == nil || len(v.Requests) == VectorMax {
			v = &Vector{Op: op, Partition: partition}
			open[partition] = v
			vectors = append(vectors, v)
		}
		v.Requests = append(v.Requests, requests[i])
		places[v] = append(places[v], i)
	}
	if len(vectors) > 0 {
		s.Do(ctx, vectors...)
	}
	decisions := make([]Decision, len(requests))
	for _, v := range vectors {
		for j, i := range places[v] {
			if v.Err != nil {
				decisions[i].Err = v.Err
			} else {
				decisions[i].Outcome = v.Outcomes[j]
			}
		}
	}
	return decisions
}
