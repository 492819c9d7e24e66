"""DuckDB as its users have it at hand: one open connection, views made before.

Reads a statement a line from stdin, says `timing MILLISECONDS` for each on stdout, and at the end
the peak of the memory in KiB.
"""

import resource
import sys
import time

import duckdb

files, threads = sys.argv[1], int(sys.argv[2])
database = duckdb.connect()
database.execute("SET TimeZone = 'UTC'")
database.execute(f"SET threads = {threads}")
database.execute("SET parquet_metadata_cache = true")
source = "read_parquet(?, hive_partitioning = false)".replace("?", "'" + files.replace("'", "''") + "'")
database.execute(f"CREATE VIEW resets AS SELECT * FROM {source}")
print("version", duckdb.__version__, flush=True)
for line in sys.stdin:
    start = time.perf_counter()
    database.execute(line).fetchall()
    print("timing", (time.perf_counter() - start) * 1000, flush=True)
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
