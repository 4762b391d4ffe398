-- Redis' sandbox: nothing else exists there.
std = "none"
read_globals = {
  "KEYS", "ARGV", "redis", "struct", "bit", "string", "table", "math",
  "tonumber", "ipairs", "pairs", "unpack", "error", "pcall",
}
max_line_length = 110
max_cyclomatic_complexity = 12
-- A file that is included uses and defines names for another one. The scripts as Redis loads them
-- are checked for unknown names by the tests of this package.
ignore = { "112", "113", "211", "231", "241" }
