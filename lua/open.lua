#!lua flags=no-writes
-- open is the sign of a server that was vetted since it started.
--
-- RETURN 1
-- RETRY safe            nobody calls it: it is there, or it is not
-- Its text never changes, so that programs with other versions of the other scripts find it too.
return 1
