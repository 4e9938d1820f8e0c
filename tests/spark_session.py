"""Answers questions, a line of JSON each, in Spark's own environment; see spark.py."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.types import StructType


def answer(spark: SparkSession, question: dict[str, Any]) -> list[list[Any]]:
    """Run a statement, or name files."""
    if "sql" in question:
        return [list(row) for row in spark.sql(question["sql"]).collect()]
    schema = StructType.fromJson(json.loads(question["schema"]))
    frame = spark.read.schema(schema).option("basePath", question["base"]).parquet(*question["files"])
    frame.createOrReplaceTempView(question["view"])
    return []


def main() -> None:
    """Serve until the input ends."""
    # Java writes to the first descriptor too: the answers get one of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    builder = SparkSession.builder.config(
        map={
            "spark.sql.ansi.enabled": "true",
            "spark.sql.ansi.enforceReservedKeywords": "true",
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.session.timeZone": "UTC",
        }
    )
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    for line in sys.stdin:
        try:
            said: dict[str, Any] = {"rows": answer(spark, json.loads(line))}
        except Exception as error:
            said = {"error": str(error)[:3000]}
        answers.write(json.dumps(said, default=str) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
