# The summary of "go test -bench": what each benchmark says about itself, one
# number per line. Times stand for themselves only where there is nothing else.
# It fails if a test did, which is lost in a pipe.

/^Benchmark/ && NF >= 4 {
	name = $1
	sub(/^Benchmark/, "", name)
	sub(/-[0-9]+$/, "", name)
	lines = ""
	for (i = 3; i < NF; i += 2) {
		if ($(i + 1) == "ns/op") time = $i
		if ($(i + 1) !~ /^(ns|B|allocs)\/op$|-ns$/) {
			lines = lines sprintf("  %-26s %10s  %s\n", name, $i, $(i + 1))
		}
	}
	if (lines == "") lines = sprintf("  %-26s %10s  ns/op\n", name, time)
	summary = summary lines
}
/^--- SKIP/ { skipped = skipped "  " $0 "\n" }
/^(FAIL|panic:)/ { failed = 1 }
END {
	printf "\nIn short:\n%s", summary
	if (skipped != "") printf "Skipped:\n%s", skipped
	exit failed
}
