"""Which of several labels counts: the rule, as columns to order by, for whatever engine reads the table.

Of the labels for one model, request and name, the one with the latest `observed_at` counts. Of several
observed in the same microsecond, one that was imported counts before one from the topic, of two imports
the later one, of one file the row further down, and of a partition the message sent later. So the order
rests on columns alone: it is the same after a compaction, and in each engine.

A row from the topic has its partition and offset in `landed_partition` and `landed_offset`. A row of the
n-th import has -n and its line in the file (its row, in Parquet).
"""

#: A label's key.
LABEL_KEY = "model, request_id, name"
#: The one that counts first.
LATEST_FIRST = "observed_at DESC NULLS LAST, landed_partition, landed_offset DESC"
#: In the order in which they were said.
LATEST_LAST = "observed_at NULLS FIRST, landed_partition DESC, landed_offset"
#: A label that says nothing takes back what was said before.
WITHDRAWN = "label_score IS NULL AND label_label IS NULL AND label_vector IS NULL AND label_ranking IS NULL"
