-- How often a shadow agrees with its primary and how long the two take, in all and by the values of a segment.
-- The same text runs in DuckDB and in Spark; `comparisons` are those of one model, shadow and run, and
-- `cohort` is the segment's value.
WITH request AS (
  -- A request that was sent or replayed twice is one request: its first comparison counts.
  SELECT *, row_number() OVER (
    PARTITION BY coalesce(nullif(request_id, ''), concat_ws('/', source_topic,
      CAST(source_partition AS VARCHAR(20)), CAST(source_offset AS VARCHAR(20))))
    ORDER BY event_time, source_topic, source_partition, source_offset, landed_partition, landed_offset
  ) AS seat
  FROM comparisons
)
SELECT
  grouping(cohort) = 1 AS is_total,
  cohort,
  count(*) AS compared,
  -- Pairs that a rule ignores are neither agreement nor disagreement.
  count_if(agreement AND comparator NOT LIKE 'ignored:%') AS agreements,
  count_if(comparator LIKE 'ignored:%') AS ignored,
  percentile_cont(0.99) WITHIN GROUP (ORDER BY primary_latency_ms)
    FILTER (WHERE latency_basis = 'single' AND primary_latency_ms BETWEEN 0 AND 1e300) AS primary_p99_ms,
  percentile_cont(0.99) WITHIN GROUP (ORDER BY shadow_latency_ms)
    FILTER (WHERE latency_basis = 'single' AND shadow_latency_ms BETWEEN 0 AND 1e300) AS shadow_p99_ms
FROM request
WHERE seat = 1
GROUP BY ROLLUP (cohort)
ORDER BY is_total DESC, compared DESC, cohort
