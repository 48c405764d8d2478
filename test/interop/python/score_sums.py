"""What DuckDB reads in a file of scores: its columns, and sums and counts by method, as JSON."""

import json
import sys

import duckdb

connection = duckdb.connect()
scores = connection.read_parquet(sys.argv[1])
columns = list(zip(scores.columns, [str(kind) for kind in scores.types]))
groups = connection.sql(
    """
    SELECT method, count(*), count(scheme), sum(value), sum(standard_error), count(standard_error),
           count(DISTINCT tensor), min(unit), min(evidence), min(text_hash), max(seed)
    FROM scores GROUP BY method ORDER BY method
    """
).fetchall()
print(json.dumps({"columns": columns, "groups": groups}))
