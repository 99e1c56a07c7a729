"""The names of what a run leaves in its folder."""

REQUESTS = "requests.parquet"
TOKENS = "tokens.parquet"
SYSTEM = "system.parquet"
QUALITY = "quality.jsonl"
SUMMARY = "summary.json"
WORKLOAD = "workload.yaml"
