-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS runs_status ON runs (status, id DESC);
