"""Loads a recording with pandas, polars, DuckDB and pyarrow, and checks that each of them finds
the columns that the schema promises, with the types that it promises, and the same rows.

    python load.py DIR COLUMNS.json

COLUMNS.json (`-` for stdin) holds one {"name", "kind", "nullable"} per column, in order.
"""

import json
import sys
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

# What each tool calls the kinds of schema/src/columns.rs.
ARROW = {
    "Timestamp": pa.timestamp("us", tz="UTC"),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "Text": pa.string(),
    "Boolean": pa.bool_(),
}
POLARS = {
    "Timestamp": pl.Datetime("us", "UTC"),
    "Int32": pl.Int32,
    "Int64": pl.Int64,
    "Text": pl.String,
    "Boolean": pl.Boolean,
}
DUCKDB = {
    "Timestamp": "TIMESTAMP WITH TIME ZONE",
    "Int32": "INTEGER",
    "Int64": "BIGINT",
    "Text": "VARCHAR",
    "Boolean": "BOOLEAN",
}
# Without and with a null: pandas' own integers and booleans know none and become another type.
PANDAS = {
    "Timestamp": ("datetime64[us, UTC]", "datetime64[us, UTC]"),
    "Int32": ("int32", "float64"),
    "Int64": ("int64", "float64"),
    "Text": ("str", "str"),
    "Boolean": ("bool", "object"),
}

failures = []


def check(tool, what, found, expected):
    if found != expected:
        failures.append(f"{tool}: {what}: found {found}, expected {expected}")


def check_types(tool, found, expected):
    """Both are {column: type}, in order."""
    check(tool, "columns", list(found), list(expected))
    for name in expected.keys() & found.keys():
        check(tool, f"type of {name}", found[name], expected[name])


def with_pyarrow(folder, columns):
    dataset = ds.dataset(folder)
    check_types("pyarrow", {f.name: f.type for f in dataset.schema}, types(columns, ARROW))
    # A dataset takes its schema from one file: each must agree.
    for file in dataset.files:
        tool, schema = f"pyarrow, {Path(file).name}", pq.read_schema(file)
        check_types(tool, {f.name: f.type for f in schema}, types(columns, ARROW))
        for column in columns:
            found = [f.nullable for f in schema if f.name == column["name"]]
            check(tool, f"{column['name']} nullable", found, [column["nullable"]])
    return dataset.to_table()


def with_polars(folder, columns):
    expected = types(columns, POLARS)
    plain = pl.scan_parquet(f"{folder}/**/*.parquet", hive_partitioning=False)
    check_types("polars", dict(plain.collect_schema()), expected)
    hive = pl.scan_parquet(f"{folder}/**/*.parquet", hive_partitioning=True)
    check_types("polars, hive", dict(hive.collect_schema()), expected | {"date": pl.Date})
    table, hive = plain.collect(), hive.collect()
    check("polars, hive", "rows", hive.height, table.height)
    # A file lies in the folder of its rows' day: the path says nothing that the rows do not.
    astray = hive.filter(pl.col("date") != pl.col("time").dt.date()).height
    check("polars, hive", "rows of another date than their folder's", astray, 0)
    return table.to_arrow()


def with_duckdb(folder, columns):
    db = duckdb.connect()
    # The session's time zone decides what `date_trunc` calls an hour or a day.
    db.sql("SET TimeZone = 'UTC'")
    expected = types(columns, DUCKDB)
    glob = f"{folder}/**/*.parquet".replace("'", "''")
    for hive in (True, False):
        files = f"read_parquet('{glob}', hive_partitioning={hive})"
        tool = f"DuckDB, hive_partitioning={hive}"
        described = db.sql(f"DESCRIBE SELECT * FROM {files}").fetchall()
        found = {name: kind for name, kind, *_ in described}
        check_types(tool, found, expected | ({"date": "DATE"} if hive else {}))
        table = db.sql(f"SELECT * FROM {files}").to_arrow_table()
        # As Arrow: DuckDB's own way to a Python datetime with a time zone wants pytz.
        hours = db.sql(
            f"SELECT date_trunc('hour', time) AS hour, count(*) AS resets FROM {files} GROUP BY 1"
        ).to_arrow_table()
        check(tool, "rows of all hours", sum(hours["resets"].to_pylist()), table.num_rows)
        whole = all(h.minute == h.second == h.microsecond == 0 for h in hours["hour"].to_pylist())
        check(tool, "hours are whole", whole, True)
    return table


def with_pandas(folder, columns):
    # `partitioning=None`: no `date` from the path.
    own = pd.read_parquet(folder, partitioning=None)
    expected = types(columns, PANDAS)
    check("pandas", "columns", list(own), list(expected))
    for name in expected.keys() & set(own):
        without_null, with_null = expected[name]
        wanted = with_null if own[name].hasnans else without_null
        check("pandas", f"type of {name}", str(own[name].dtype), wanted)

    backed = pd.read_parquet(folder, partitioning=None, dtype_backend="pyarrow")
    found = {name: dtype.pyarrow_dtype for name, dtype in backed.dtypes.items()}
    check_types("pandas, pyarrow-backed", found, types(columns, ARROW))
    check("pandas", "rows", len(own), len(backed))
    return pa.Table.from_pandas(backed, preserve_index=False)


def types(columns, names):
    return {column["name"]: names[column["kind"]] for column in columns}


def main(data, contract):
    columns = json.load(sys.stdin if contract == "-" else open(contract, encoding="utf-8"))
    folder = str(Path(data) / "resets")
    schema = pa.schema(list(types(columns, ARROW).items()))
    first = None
    for load in (with_pyarrow, with_polars, with_duckdb, with_pandas):
        tool = load.__name__.removeprefix("with_")
        table = load(folder, columns)
        print(f"{tool}: {table.num_rows} rows, {table.num_columns} columns")
        if table.column_names != schema.names:
            continue
        order = [(name, "ascending") for name in ("boot_ns", "cpu", "seq")]
        table = table.cast(schema).sort_by(order)
        if first is None:
            first = table
        check(tool, "rows", table.num_rows, first.num_rows)
        for name in schema.names:
            check(tool, f"{name} as pyarrow reads it", table[name].equals(first[name]), True)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
