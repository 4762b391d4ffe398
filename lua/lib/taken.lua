-- taken: writes the accepted effects, and answers. Before it, only gather has changed data, the records of
-- its baskets. From the first write on nothing may fail: Redis does not roll back.
-- NEEDS base: call, concat, write_list
-- NEEDS cells: write_cells
-- NEEDS records: set_records
-- NEEDS buyers: write_buyers
-- NEEDS answer: answer
-- NEEDS outbox: write_outbox
-- NEEDS asked: ends, outbox, head, now, takers
-- NEEDS taking: groups

write_cells()
write_list("HSET", KEYS[3], set_records)
write_buyers(takers)
for _, group in pairs(groups) do call("ZADD", ends, group.at_ms, concat(group)) end
return answer(now, write_outbox(outbox, head, now))
