"""The only place that knows both Airflow and the library: context in, `Run` out; errors become retries or skips."""
