-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS model_calls_created ON model_calls (created_at);
