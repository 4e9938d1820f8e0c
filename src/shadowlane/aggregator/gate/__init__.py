"""The gate: a report against a policy gives a verdict, which is recorded, explained and verified."""
