"""What is kept: history (DuckDB and Parquet) and records (PostgreSQL)."""
