-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS runs_error ON runs (error_code, id DESC) WHERE error_code IS NOT NULL;
