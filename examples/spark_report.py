"""The lake's figures with Apache Spark, which reads the tables as what they are: Delta tables.

pip install "pyspark==4.1.*"
spark-submit --packages io.delta:delta-spark_4.1_2.13:4.4.0 examples/spark_report.py ./lake fraud boosted
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.functions import col

QUERY = Path(__file__).with_name("lake_report.sql")


def connect() -> SparkSession:
    """A session that knows Delta tables."""
    builder = SparkSession.builder.config(
        map={
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
            "spark.sql.session.timeZone": "UTC",
        }
    )
    return builder.getOrCreate()


def report(spark: SparkSession, lake: str, *, by: str, **scope: str) -> list[dict[str, Any]]:
    """A row for all comparisons of a model, a shadow and a run, and one for each value of a segment."""
    comparisons = spark.read.format("delta").load(f"{lake}/comparisons")
    for name, value in scope.items():
        comparisons = comparisons.where(col(name) == value)
    comparisons.withColumn("cohort", col("segments")[by]).createOrReplaceTempView("comparisons")
    return [row.asDict() for row in spark.sql(QUERY.read_text()).collect()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Agreement and latencies, by a segment.")
    parser.add_argument("lake")
    parser.add_argument("model")
    parser.add_argument("shadow")
    parser.add_argument("--run", default="live")
    parser.add_argument("--by", default="country", help="the segment's name")
    for row in report(connect(), **vars(parser.parse_args())):
        print(json.dumps(row))
